// A captioner in this thread. Files come in the order in which they are needed, and each graph goes to
// the engine as soon as its file is whole: an image that waits is encoded while the decoder downloads.
import type { Backend, Caption, CaptionerInfo, LocalOptions } from "./backend.js";
import {
  chooseDtypes,
  chooseThreads,
  type Dtypes,
  graphBytes,
  graphPath,
  inspectDevice,
  type Role,
} from "./devices.js";
import { createEngine } from "./engine/engine.js";
import {
  BytesGone,
  type Device,
  type Engine,
  type EngineFiles,
  type GraphBytes,
} from "./engine/engine_api.js";
import { fitted, type GenerateOptions, generate, settingsOf } from "./generation/generate.js";
import { type GenerationSettings, generationOf } from "./generation/generation_settings.js";
import { TextStream, Tokenizer } from "./generation/tokenizer.js";
import { preprocess } from "./image/image.js";
import { type Picture, toPixels } from "./image/picture.js";
import { noteRefusal, openStore, ResilientStore } from "./loading/cache.js";
import { folderUrl } from "./loading/fetch.js";
import { Limiter } from "./loading/limiter.js";
import { Loader } from "./loading/loader.js";
import { externalData, type Manifest } from "./loading/manifest.js";
import type { Pieces } from "./loading/pieces.js";
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

// Failures are told to those who ask; nobody asking is no unhandled rejection.
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

interface Parts {
  readonly loader: Loader;
  readonly meter: ProgressMeter;
  readonly info: CaptionerInfo;
  readonly stop: AbortController;
  readonly options: LocalOptions;
  readonly files: EngineFiles;
}

export class LocalBackend implements Backend {
  readonly info: CaptionerInfo;
  readonly ready: Promise<void>;
  private readonly manifest: Manifest;
  private readonly generation: GenerationSettings;
  private readonly parts: Parts;
  private readonly queue: Limiter = new Limiter(1);
  private readonly tokenizer: Promise<Tokenizer>;
  private readonly engine: Promise<Engine>;
  private readonly encoder: Promise<Engine>;
  private readonly decoder: Promise<Engine>;

  private constructor(parts: Parts) {
    this.parts = parts;
    this.info = parts.info;
    this.manifest = parts.loader.manifest;
    this.generation = generationOf(this.manifest);
    parts.meter.enter("download");
    // Requests go out in this order.
    this.tokenizer = quiet(this.loadTokenizer());
    this.engine = quiet(this.createEngine(this.info.device));
    this.encoder = quiet(this.loadEncoder(quiet(this.graph("encoder"))));
    this.decoder = quiet(this.loadDecoder(quiet(this.graph("decoder"))));
    this.ready = quiet(this.whenReady());
  }

  /** Resolves when the folder is known to be sound; the files follow. */
  static async load(
    url: string | URL,
    options: LocalOptions,
    files: EngineFiles,
  ): Promise<LocalBackend> {
    const stop = new AbortController();
    const { signal } = options;
    signal?.throwIfAborted();
    signal?.addEventListener("abort", () => stop.abort(signal.reason), { once: true });
    const meter = new ProgressMeter(options.onProgress);
    meter.enter("manifest");
    const folder = folderUrl(url, globalThis.location?.href);
    const facts = await inspectDevice(options.device ?? "auto", options.threads);
    const onRefused = noteRefusal(meter);
    const store =
      options.cache === false
        ? new ResilientStore(undefined, onRefused)
        : await openStore(onRefused);
    const { fetch, update, retries, retryDelayMs } = options;
    const loader = await Loader.open(folder, {
      store,
      meter,
      signal: stop.signal,
      fetch,
      update,
      retries,
      retryDelayMs,
    });
    const { manifest } = loader;
    const dtypes = chooseDtypes(manifest, options.dtype ?? "auto", facts);
    const { width, height } = manifest.preprocessing;
    const info: CaptionerInfo = {
      device: facts.device,
      dtypes,
      threads:
        options.threads === undefined ? chooseThreads(manifest, dtypes, facts) : facts.threads,
      imageSize: [height, width],
      maxNewTokens: manifest.maxNewTokens,
      available: [...manifest.graphs.keys()],
    };
    meter.addTotal(totalBytes(manifest, dtypes));
    return new LocalBackend({ loader, meter, info, stop, options, files });
  }

  async run(
    picture: Picture,
    options: GenerateOptions,
    signal: AbortSignal,
    onPiece: (piece: string) => void,
  ): Promise<Caption> {
    const asked = settingsOf(options, this.manifest, this.generation);
    return this.queue.run(async () => {
      signal.throwIfAborted();
      const lap = stopwatch();
      const pixels = preprocess(await toPixels(picture), this.manifest.preprocessing);
      const preprocessMs = lap();
      const encoder = await orAborted(this.encoder, signal);
      const encoderWaitMs = lap();
      const image = await encoder.encode(pixels);
      const encodeMs = lap();
      try {
        const [engine, tokenizer] = await orAborted(
          Promise.all([this.decoder, this.tokenizer]),
          signal,
        );
        const decoderWaitMs = lap();
        const prompt =
          typeof asked.prompt === "string" ? tokenizer.encode(asked.prompt) : asked.prompt;
        const settings = fitted(asked, this.manifest, prompt);
        const stream = new TextStream((ids) => tokenizer.decode(ids));
        const say = (piece: string): void => {
          if (piece !== "") {
            onPiece(piece);
          }
        };
        const onToken = (id: number): void => say(stream.push(id));
        const found = await generate(engine, image, prompt, settings, signal, onToken);
        const { ids, score, prefillMs, decodeMs } = found;
        const text = tokenizer.decode(ids);
        say(settings.numBeams > 1 ? text : stream.finish());
        const waits = { encoderWaitMs, decoderWaitMs };
        return {
          text,
          ids,
          score,
          timings: { ...waits, preprocessMs, encodeMs, prefillMs, decodeMs },
        };
      } finally {
        image.dispose();
      }
    });
  }

  async dispose(): Promise<void> {
    this.parts.stop.abort(new DOMException("the captioner is disposed", "AbortError"));
    await this.queue.run(async () => {
      const engine = await this.engine.catch(() => undefined);
      await this.encoder.catch(() => undefined);
      await this.decoder.catch(() => undefined);
      await engine?.dispose();
    });
  }

  private async loadTokenizer(): Promise<Tokenizer> {
    const { loader } = this.parts;
    const { tokenizerFile, files } = this.manifest;
    const config = files.has(TOKENIZER_CONFIG) ? loader.json(TOKENIZER_CONFIG) : {};
    const [json, settings] = await Promise.all([loader.json(tokenizerFile), config]);
    return new Tokenizer(json, settings);
  }

  private async graph(role: Role): Promise<GraphBytes> {
    const { loader, info } = this.parts;
    const engine = await this.engine;
    const path = graphPath(this.manifest, info.dtypes[role], role);
    const beside = externalData(this.manifest, path).map((file) => file.path);
    const [model, ...weights] = await Promise.all(
      [path, ...beside].map((file) => loader.pieces(file, engine.memory)),
    );
    const nameOf = (file: string): string => file.slice(file.lastIndexOf("/") + 1);
    return {
      model: model as Pieces,
      weights: beside.map((file, i) => ({ name: nameOf(file), bytes: weights[i] as Pieces })),
    };
  }

  private async release(role: Role): Promise<void> {
    const path = graphPath(this.manifest, this.info.dtypes[role], role);
    const files = externalData(this.manifest, path).map((file) => file.path);
    await Promise.all([path, ...files].map((file) => this.parts.loader.release(file)));
  }

  private async loadEncoder(graph: Promise<GraphBytes>): Promise<Engine> {
    const { meter, stop } = this.parts;
    const [engine, bytes] = await Promise.all([this.engine, graph]);
    stop.signal.throwIfAborted();
    meter.enter("encoder");
    await this.openGraph("encoder", bytes, (graph) => engine.loadEncoder(graph));
    await this.release("encoder");
    meter.enter("download");
    return engine;
  }

  private async loadDecoder(graph: Promise<GraphBytes>): Promise<Engine> {
    const [engine, bytes] = await Promise.all([this.encoder, graph]);
    this.parts.stop.signal.throwIfAborted();
    this.parts.meter.enter("decoder");
    await this.openGraph("decoder", bytes, (graph) => engine.loadDecoder(graph));
    await this.release("decoder");
    return engine;
  }

  private async openGraph(
    role: Role,
    graph: GraphBytes,
    open: (graph: GraphBytes) => Promise<void>,
  ): Promise<void> {
    try {
      await open(graph);
    } catch (error) {
      if (!(error instanceof BytesGone)) {
        throw error;
      }
      await open({ ...(await this.graph(role)), keep: true });
    }
  }

  private createEngine(device: Device): Promise<Engine> {
    const { numLayers, numKeyValueHeads, headDim, vocabSize, startTokenId } = this.manifest;
    const { imageSize, threads } = this.info;
    const shape = { imageSize, vocabSize, numLayers, numKeyValueHeads, headDim, startTokenId };
    return createEngine({ device, shape, threads, files: this.parts.files });
  }

  private async whenReady(): Promise<void> {
    await Promise.all([this.tokenizer, this.encoder, this.decoder]);
    this.parts.meter.enter("ready");
  }
}

function totalBytes(manifest: Manifest, dtypes: Dtypes): number {
  const graphs = (["encoder", "decoder"] as const).map((role) =>
    graphBytes(manifest, graphPath(manifest, dtypes[role], role)),
  );
  const texts = [manifest.tokenizerFile, TOKENIZER_CONFIG].map(
    (path) => manifest.files.get(path)?.bytes ?? 0,
  );
  return [...graphs, ...texts].reduce((sum, bytes) => sum + bytes, 0);
}
