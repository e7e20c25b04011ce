// A captioner, or a generator of text, in this thread. Files arrive in the order in which they are needed, and each graph goes to
// the engine as soon as its file is complete: an image that waits is encoded while the decoder downloads.
import type { Backend, BackendInfo, Caption, LocalOptions } from "./backend.js";
import {
  chooseDtypes,
  chooseThreads,
  chosenGraphs,
  type Dtypes,
  graphBytes,
  graphOf,
  inspectDevice,
} from "./devices.js";
import type { StartEngine } from "./engine/engine.js";
import type { EncodedImage, Engine } from "./engine/engine_api.js";
import { fail } from "./errors.js";
import { ChatTemplate } from "./generation/chat_template.js";
import { generate } from "./generation/generate.js";
import { fitted, type GenerateOptions, settingsOf } from "./generation/generate_options.js";
import { type GenerationSettings, generationOf } from "./generation/generation_settings.js";
import { promptOf } from "./generation/prompt.js";
import { TextStream, Tokenizer } from "./generation/tokenizer.js";
import { type Pixels, preprocess } from "./image/image.js";
import { type Picture, toPixels } from "./image/picture.js";
import { normaliseTiles, splitImage, tilesPrompt } from "./image/tiles.js";
import { noteRefusal, openStore } from "./loading/cache.js";
import { folderUrl } from "./loading/fetch.js";
import type { GraphFile, Role } from "./loading/graph_files.js";
import { Limiter } from "./loading/limiter.js";
import { Loader } from "./loading/loader.js";
import type { Manifest } from "./loading/manifest.js";
import { PieceReader } from "./loading/piece_reader.js";
import { ProgressMeter } from "./loading/progress.js";

const TOKENIZER_CONFIG = "tokenizer_config.json";

/** Rejects as soon as `signal` is aborted, whatever `work` does. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    if (signal.aborted) {
      stop();
      return;
    }
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

/** Milliseconds since the last call. */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const ms = now - last;
    last = now;
    return ms;
  };
}

// Code that awaits the promise gets the failure; without such code it is no unhandled rejection.
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

interface Parts {
  readonly loader: Loader;
  readonly meter: ProgressMeter;
  readonly info: BackendInfo;
  readonly stop: AbortController;
  readonly startEngine: StartEngine;
  /** Whether another engine may take over. */
  readonly fallback: boolean;
  readonly keepEncoder: boolean;
}

export class LocalBackend implements Backend {
  readonly info: BackendInfo;
  readonly ready: Promise<void>;
  private readonly manifest: Manifest;
  private readonly generation: GenerationSettings;
  private readonly parts: Parts;
  private readonly pieces: PieceReader;
  private readonly queue: Limiter = new Limiter(1);
  /** Of an encoder that is not kept. */
  private readonly encoding: Limiter = new Limiter(1);
  private readonly tokenizer: Promise<Tokenizer>;
  private readonly chat: Promise<ChatTemplate | undefined>;
  private readonly engine: Promise<Engine>;
  private encoder: Promise<Engine> | undefined;
  private readonly decoder: Promise<Engine>;

  private constructor(parts: Parts) {
    this.parts = parts;
    this.info = parts.info;
    this.manifest = parts.loader.manifest;
    this.generation = generationOf(this.manifest);
    this.pieces = new PieceReader(parts.loader, !parts.keepEncoder);
    parts.meter.enter("download");
    // Requests go out in this order.
    const config = handled(this.loadTokenizerConfig());
    this.tokenizer = handled(this.loadTokenizer(config));
    this.chat = handled(this.loadChatTemplate(config));
    this.engine = handled(this.startEngine());
    const graphs = chosenGraphs(this.manifest, this.info.dtypes);
    const loaded: Promise<Engine>[] = [];
    for (const [role, graph] of graphs) {
      const part = handled(this.loadPart(role, graph, loaded.at(-1) ?? this.engine));
      this.encoder ??= part;
      const makesRoom = role === "encoder" && !parts.keepEncoder;
      loaded.push(makesRoom ? handled(this.withoutEncoder(part)) : part);
    }
    this.decoder = loaded.at(-1) as Promise<Engine>;
    const all = Promise.all([this.tokenizer, this.chat, ...loaded]);
    this.ready = handled(all.then(() => parts.meter.enter("ready")));
  }

  /** Resolves when the folder is known to be valid; the files follow. */
  static async load(
    url: string | URL,
    options: LocalOptions,
    startEngine: StartEngine,
  ): Promise<LocalBackend> {
    const stop = new AbortController();
    const { signal } = options;
    signal?.throwIfAborted();
    signal?.addEventListener("abort", () => stop.abort(signal.reason), { once: true });
    const meter = new ProgressMeter(options.onProgress);
    meter.enter("manifest");
    const folder = folderUrl(url, globalThis.location?.href);
    const { device = "auto", engine = "auto", threads, keepEncoder = true } = options;
    const facts = await inspectDevice(device, threads, engine);
    const store = await openStore(noteRefusal(meter), options.cache);
    const parallel = keepEncoder ? 4 : 2; // chunks that are in memory at a time
    const read = { ...options, parallel, store, meter, signal: stop.signal };
    const loader = await Loader.open(folder, read);
    const { manifest } = loader;
    const dtypes = chooseDtypes(manifest, options.dtype ?? "auto", facts);
    const size = manifest.preprocessing;
    const info: BackendInfo = {
      device: facts.device,
      engine: facts.engine,
      dtypes,
      threads: threads === undefined ? chooseThreads(manifest, dtypes, facts) : facts.threads,
      imageSize: size && [size.height, size.width],
      maxNewTokens: manifest.maxNewTokens,
      prompt: manifest.prompt,
      chat: templateOf(manifest) !== undefined,
      available: [...manifest.graphs.keys()],
    };
    meter.addTotal(totalBytes(manifest, dtypes));
    const fallback = engine === "auto";
    return new LocalBackend({ loader, meter, info, stop, startEngine, fallback, keepEncoder });
  }

  async run(
    picture: Picture | undefined,
    options: GenerateOptions,
    signal: AbortSignal,
    onPiece: (piece: string) => void,
  ): Promise<Caption> {
    const asked = settingsOf(options, this.manifest, this.generation);
    return this.queue.run(async () => {
      signal.throwIfAborted();
      const lap = stopwatch();
      const prepared = picture && this.prepare(await toPixels(picture));
      const preprocessMs = lap();
      let encoderWaitMs = 0;
      const image =
        prepared &&
        (await this.encode(prepared.pixels, signal, () => {
          encoderWaitMs = lap();
        }));
      const encodeMs = lap();
      try {
        const [engine, tokenizer, chat] = await orAborted(
          Promise.all([this.decoder, this.tokenizer, this.chat]),
          signal,
        );
        const decoderWaitMs = lap();
        const prompt = promptOf(asked, this.manifest, tokenizer, chat, prepared?.imageText);
        const settings = {
          ...fitted(asked, this.manifest, prompt.words, prompt.imagePositions),
          before: prompt.counts ? prompt.ids : [],
        };
        const stream = new TextStream((ids) => tokenizer.decode(ids));
        const emit = (piece: string): void => {
          if (piece !== "") {
            onPiece(piece);
          }
        };
        const onToken = (id: number): void => emit(stream.push(id));
        const found = await generate(engine, image, prompt.ids, settings, signal, onToken);
        const { ids, score, prefillMs, decodeMs } = found;
        const text = tokenizer.decode(ids);
        emit(settings.numBeams > 1 ? text : lastPiece(stream, ids, settings.eosTokenIds));
        const waits = { encoderWaitMs, decoderWaitMs };
        return {
          text,
          ids,
          score,
          timings: { ...waits, preprocessMs, encodeMs, prefillMs, decodeMs },
        };
      } finally {
        image?.dispose();
      }
    });
  }

  async dispose(): Promise<void> {
    this.parts.stop.abort(new DOMException("the captioner is disposed", "AbortError"));
    await this.queue.run(async () => {
      const engine = await this.engine.catch(() => undefined);
      await this.encoder?.catch(() => undefined);
      await this.decoder.catch(() => undefined);
      await engine?.dispose();
    });
  }

  // The vision tower's input, and what stands for it in a prompt.
  private prepare(image: Pixels): { pixels: Float32Array; imageText: string } {
    const { imageSplitting, imageTokens } = this.manifest;
    const preprocessing =
      this.manifest.preprocessing ?? fail("invalid_argument", "the model takes no image");
    if (imageSplitting === undefined) {
      return { pixels: preprocess(image, preprocessing), imageText: "" };
    }
    const found = splitImage(image, imageSplitting);
    const imageText = tilesPrompt(found, imageTokens, imageSplitting);
    return { pixels: normaliseTiles(found.tiles, preprocessing), imageText };
  }

  private async loadTokenizerConfig(): Promise<unknown> {
    return this.manifest.files.has(TOKENIZER_CONFIG)
      ? this.parts.loader.json(TOKENIZER_CONFIG)
      : {};
  }

  private async loadTokenizer(config: Promise<unknown>): Promise<Tokenizer> {
    const [json, settings] = await Promise.all([
      this.parts.loader.json(this.manifest.tokenizerFile),
      config,
    ]);
    return new Tokenizer(json, settings);
  }

  private async loadChatTemplate(config: Promise<unknown>): Promise<ChatTemplate | undefined> {
    const file = templateOf(this.manifest);
    if (file === undefined) {
      return undefined;
    }
    const [text, settings] = await Promise.all([this.parts.loader.text(file), config]);
    return new ChatTemplate(text, settings, file);
  }

  private startEngine(): Promise<Engine> {
    const { numHiddenLayers, numKeyValueHeads, headDim, vocabSize, conditioning, rulesInGraph } =
      this.manifest;
    const { imageSize, threads, device, engine } = this.info;
    const { fallback, keepEncoder, meter } = this.parts;
    const imageTokenId = conditioning === "placeholder" ? this.manifest.imageTokenId : undefined;
    const shape = {
      imageSize,
      imageTokens: this.manifest.imageTokens,
      vocabSize,
      numHiddenLayers,
      idsInCache: rulesInGraph.length > 0,
      numKeyValueHeads,
      headDim,
      imageTokenId,
      crossAttention: conditioning === "cross",
    };
    const note = (text: string): void => meter.note(text);
    const request = { engine, fallback, device, shape, keepEncoder, threads, note };
    return this.parts.startEngine(request);
  }

  private encode(
    pixels: Float32Array,
    signal: AbortSignal,
    begins: () => void,
  ): Promise<EncodedImage> {
    const encode = async (): Promise<EncodedImage> => {
      const encoder = await orAborted(this.loadedEncoder(), signal);
      begins();
      return encoder.encode(pixels);
    };
    if (this.parts.keepEncoder) {
      return encode();
    }
    return this.encoding.run(async () => {
      const image = await encode();
      await this.unloadEncoder();
      return image;
    });
  }

  private async unloadEncoder(): Promise<void> {
    const encoder = this.encoder;
    this.encoder = undefined;
    await (await encoder)?.unload("encoder");
  }

  // An encoder that is not kept makes room for the decoder: after the image that waits for it, or at once. Without a store its
  // files would have to be fetched again.
  private async withoutEncoder(encoder: Promise<Engine>): Promise<Engine> {
    const engine = await encoder;
    await this.encoding.run(async () => {
      if (this.encoder === encoder && this.parts.loader.store.persistent) {
        await this.unloadEncoder();
      }
    });
    return engine;
  }

  // Once more where it was freed after an image.
  private loadedEncoder(): Promise<Engine> {
    this.encoder ??= handled(this.loadEncoderAgain());
    return this.encoder;
  }

  private async loadEncoderAgain(): Promise<Engine> {
    const graph = graphOf(this.manifest, this.info.dtypes.encoder, "encoder");
    const engine = await this.loadPart("encoder", graph, this.decoder);
    this.parts.meter.enter("ready");
    return engine;
  }

  // The files of a part are read at once, and loaded when the part before is loaded.
  private async loadPart(role: Role, graph: GraphFile, before: Promise<Engine>): Promise<Engine> {
    const { loader, meter, stop } = this.parts;
    const engine = await this.engine;
    const read = handled(
      engine.read({
        role,
        graph,
        read: (path, memory) => this.pieces.read(path, memory),
        chunks: (path, take) => this.pieces.chunks(path, take),
        free: (chunk) => this.pieces.free(chunk),
      }),
    );
    const [load] = await Promise.all([read, before]);
    stop.signal.throwIfAborted();
    meter.enter(role === "encoder" ? role : "decoder");
    await load();
    await Promise.all(filesOf(graph).map((path) => loader.release(path)));
    if (role === "encoder") {
      meter.enter("download");
    }
    return engine;
  }
}

// Only chat models are asked through a template.
const templateOf = ({ conditioning, chatTemplate }: Manifest): string | undefined =>
  conditioning === "prefix" ? undefined : chatTemplate;

// What is left, with the text of an end token that is no special one.
function lastPiece(
  stream: TextStream,
  ids: readonly number[],
  eosTokenIds: readonly number[],
): string {
  const last = ids.at(-1);
  const ended = last !== undefined && eosTokenIds.includes(last);
  return (ended ? stream.push(last) : "") + stream.finish();
}

const filesOf = ({ path, externalData }: GraphFile): string[] => [path, ...externalData];

function totalBytes(manifest: Manifest, dtypes: Dtypes): number {
  const graphs = chosenGraphs(manifest, dtypes).map(([, graph]) => graphBytes(manifest, graph));
  const texts = [manifest.tokenizerFile, TOKENIZER_CONFIG, templateOf(manifest) ?? ""].map(
    (path) => manifest.files.get(path)?.bytes ?? 0,
  );
  return [...graphs, ...texts].reduce((sum, bytes) => sum + bytes, 0);
}
