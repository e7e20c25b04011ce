// The common part of both engines of onnxruntime-web, whatever their tensors are. Graphs are those of the transformers.js
// bundle (docs/bundles.md): the decoder puts the image tokens before the text in its first call, when the cache is
// empty, and then drops the first id, a start token. With cross attention the first call gives keys and values of the
// image as well, which later calls get back. With an imageTokenId they are those of the llava and smolvlm
// bundles: a graph of its own looks tokens up, and here the image's rows replace those of the placeholders.
//
// A decoder alone takes ids and a mask, which is all ones here.
//
// Tensors stay inside the engine: a step's cache is the next step's input, and only the logits of each step are
// copied out.
import { asLorapressError, fail } from "../errors.js";
import type { CacheDtype, Role } from "../loading/graph_files.js";
import type { PieceMemory, Pieces } from "../loading/pieces.js";
import type {
  EncodedImage,
  Engine,
  Logits,
  ModelShape,
  ModelSource,
  Sequences,
} from "./engine_api.js";
import {
  type CachePorts,
  cachePorts,
  crossCachePorts,
  type GraphPorts,
  NO_CACHE,
  PIXEL_MASK,
  PLACEHOLDER_PORTS,
  PORTS,
  requireCache,
  requireNames,
  TEXT_PORTS,
} from "./ports.js";

export interface Session<Tensor> extends GraphPorts {
  /** In the order of `outputs`; the caller releases them. */
  run(
    inputs: readonly (readonly [name: string, tensor: Tensor])[],
    outputs: readonly string[],
  ): Promise<Tensor[]>;
  release(): void | Promise<void>;
}

/** A graph's bytes, and those of the weight files beside it, by name. A session may consume them. */
export interface GraphBytes {
  readonly model: Pieces;
  readonly weights: ReadonlyMap<string, Pieces>;
}

interface OrtImage<Tensor> extends EncodedImage {
  readonly tensor: Tensor;
}

export interface Floats {
  readonly dims: readonly number[];
  readonly values: Float32Array;
}

interface OrtSequences<Tensor> extends Sequences {
  readonly cache: readonly Tensor[];
  /**
   * What every call takes of the image, a copy per row: the image, though only the first call reads it, and with cross
   * attention its keys and values. Empty with placeholders.
   */
  readonly images: readonly Tensor[];
  /** Those of `images` that this object frees; the caption frees the others. */
  readonly owned: readonly Tensor[];
  /** Positions in the cache. */
  readonly length: number;
}

export abstract class OrtEngine<Tensor> implements Engine {
  /** Where pieces of files are stored, if not in arrays of their own. */
  protected abstract readonly memory: PieceMemory | undefined;
  protected readonly shape: ModelShape;
  private readonly cache: CachePorts;
  /** Of the image's keys and values. */
  private readonly states: CachePorts;
  private encoder: Session<Tensor> | undefined;
  private embeddings: Session<Tensor> | undefined;
  private decoder: Session<Tensor> | undefined;
  private cacheDtype: CacheDtype = "float32";
  private turn: Promise<unknown> = Promise.resolve();

  constructor(shape: ModelShape) {
    this.shape = shape;
    const pairs = shape.numHiddenLayers + (shape.idsInCache === true ? 1 : 0);
    const { own, states } = crossCachePorts(shape.numHiddenLayers, pairs);
    this.cache = shape.crossAttention ? own : cachePorts(pairs);
    this.states = shape.crossAttention ? states : NO_CACHE;
  }

  /** `keptInside`: outputs that are the next run's inputs. */
  protected abstract open(
    source: ModelSource,
    bytes: GraphBytes,
    keptInside: readonly string[],
  ): Promise<Session<Tensor>>;
  protected abstract tensor(
    type: "float32" | "float16" | "int64" | "bool",
    dims: readonly number[],
    values: Float32Array | Uint16Array | BigInt64Array | Uint8Array,
  ): Tensor;
  /** A copy of a tensor's values. */
  protected abstract floats(tensor: Tensor): Floats;
  protected abstract release(tensor: Tensor): void;
  protected abstract readLogits(tensor: Tensor, rows: number): Logits;
  /** New tensors whose row i is row parents[i] of the old ones. */
  protected abstract rowsOf(
    tensors: readonly Tensor[],
    parents: readonly number[],
  ): Promise<Tensor[]>;

  async read(source: ModelSource): Promise<() => Promise<void>> {
    const bytes = await this.readBytes(source);
    return () => this.inTurn(`cannot load the ${source.role}`, () => this.load(source, bytes));
  }

  encode(pixels: Float32Array): Promise<EncodedImage> {
    return this.inTurn("the encoder failed", async () => {
      const session = this.encoder ?? fail("runtime", "the encoder is not loaded");
      const { inputs, outputs } = this.placeholders ? PLACEHOLDER_PORTS.encoder : PORTS.encoder;
      const [height, width] = this.shape.imageSize ?? fail("runtime", "the model takes no image");
      const tiles = pixels.length / (3 * height * width);
      const rank = session.inputs.find(({ name }) => name === inputs[0])?.dims.length ?? 4;
      const several = rank === 5 ? [1, tiles] : [tiles];
      const given: (readonly [string, Tensor])[] = [
        [inputs[0], this.tensor("float32", [...several, 3, height, width], pixels)],
      ];
      if (session.inputs.some(({ name }) => name === PIXEL_MASK)) {
        const whole = new Uint8Array(tiles * height * width).fill(1);
        given.push([PIXEL_MASK, this.tensor("bool", [...several, height, width], whole)]);
      }
      try {
        const [image] = await session.run(given, outputs);
        const tensor = image as Tensor;
        return { tensor, dispose: () => this.release(tensor) } satisfies OrtImage<Tensor>;
      } finally {
        this.releaseAll(given.map(([, tensor]) => tensor));
      }
    });
  }

  prefill(image: EncodedImage | undefined, ids: readonly number[]): Promise<[Sequences, Logits]> {
    return this.inTurn("the decoder failed", () => {
      const { numKeyValueHeads, headDim } = this.shape;
      const none = this.cacheDtype === "float16" ? new Uint16Array(0) : new Float32Array(0);
      const dims = [1, numKeyValueHeads, 0, headDim];
      const empty = (ports: CachePorts): Tensor[] =>
        ports.past.map(() => this.tensor(this.cacheDtype, dims, none));
      const cache = empty(this.cache);
      if (image === undefined) {
        return this.run(this.sequences(1, cache, [], [], 0), ids);
      }
      const { tensor } = image as OrtImage<Tensor>;
      if (this.placeholders) {
        return this.run(this.sequences(1, cache, [], [], 0), ids, this.floats(tensor));
      }
      const states = empty(this.states);
      const sequences = this.sequences(1, cache, [tensor, ...states], states, 0);
      return this.run(sequences, ids, undefined, true);
    });
  }

  step(
    sequences: Sequences,
    parents: readonly number[],
    tokens: readonly number[],
  ): Promise<[Sequences, Logits]> {
    return this.inTurn("the decoder failed", async () =>
      this.run(await this.reorder(sequences as OrtSequences<Tensor>, parents), tokens),
    );
  }

  unload(role: Role): Promise<void> {
    return this.inTurn(`cannot free the ${role}`, async () => {
      const session = this[role];
      this[role] = undefined;
      await session?.release();
    });
  }

  async dispose(): Promise<void> {
    const sessions = [this.encoder, this.embeddings, this.decoder];
    this.encoder = undefined;
    this.embeddings = undefined;
    this.decoder = undefined;
    await this.turn.catch(() => {});
    await Promise.all(sessions.map((session) => session?.release()));
  }

  protected async readBytes(source: ModelSource): Promise<GraphBytes> {
    const { graph } = source;
    const [model, ...weights] = await Promise.all(
      [graph.path, ...graph.externalData].map((path) => source.read(path, this.memory)),
    );
    const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
    const named = graph.externalData.map(
      (path, i) => [nameOf(path), weights[i] as Pieces] as const,
    );
    return { model: model as Pieces, weights: new Map(named) };
  }

  private async load(source: ModelSource, bytes: GraphBytes): Promise<void> {
    if (source.role === "encoder") {
      const inside = this.placeholders ? [] : PORTS.encoder.outputs;
      this.encoder = await this.open(source, bytes, inside);
      requireNames(
        this.encoder,
        "encoder",
        (this.placeholders ? PLACEHOLDER_PORTS : PORTS).encoder,
      );
      return;
    }
    if (source.role === "embeddings") {
      this.embeddings = await this.open(source, bytes, []);
      requireNames(this.embeddings, "embeddings", PLACEHOLDER_PORTS.embeddings);
      return;
    }
    const caches = [this.cache, this.states];
    const present = caches.flatMap((ports) => ports.present);
    const past = caches.flatMap((ports) => ports.past);
    this.decoder = await this.open(source, bytes, present);
    const all = this.placeholders ? PLACEHOLDER_PORTS : this.textAlone ? TEXT_PORTS : PORTS;
    const ports = all.decoder;
    requireNames(this.decoder, "decoder", ports, { past, present });
    for (const first of caches.flatMap((ports) => ports.past.slice(0, 1))) {
      const port = this.decoder.inputs.find(({ name }) => name === first);
      this.cacheDtype = requireCache(port, this.shape, source.graph.cacheDtype);
    }
  }

  // One call at a time: a session does not accept a run while another is in progress.
  private inTurn<T>(what: string, task: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(task, task).catch((error: unknown) => {
      throw asLorapressError(error, "runtime", what);
    });
    this.turn = mine.catch(() => {});
    return mine;
  }

  private get placeholders(): boolean {
    return this.shape.imageTokenId !== undefined;
  }

  private get textAlone(): boolean {
    return this.shape.imageSize === undefined;
  }

  private releaseAll(tensors: readonly Tensor[]): void {
    for (const tensor of tensors) {
      this.release(tensor);
    }
  }

  private sequences(
    rows: number,
    cache: readonly Tensor[],
    images: readonly Tensor[],
    owned: readonly Tensor[],
    length: number,
  ): OrtSequences<Tensor> {
    const dispose = (): void => this.releaseAll([...cache, ...owned]);
    return { rows, cache, images, owned, length, dispose };
  }

  // `ids`: those of one row, or one id per row. `first`: the image's keys and values are computed. The sequences are
  // consumed, even on failure.
  private async run(
    sequences: OrtSequences<Tensor>,
    ids: readonly number[],
    image?: Floats,
    first = false,
  ): Promise<[Sequences, Logits]> {
    const { rows, cache, images, owned } = sequences;
    const length = sequences.length + ids.length / rows;
    const { inputs, outputs } = PORTS.decoder;
    const states = first ? this.states.present : [];
    let found: Tensor[] = [];
    try {
      const session = this.decoder ?? fail("runtime", "the decoder is not loaded");
      const dims = [rows, ids.length / rows];
      const input = this.placeholders
        ? await this.embedded(ids, dims, image)
        : this.tensor("int64", dims, BigInt64Array.from(ids, BigInt));
      const mask = this.textAlone
        ? [this.tensor("int64", [rows, length], new BigInt64Array(rows * length).fill(1n))]
        : [];
      const names = this.placeholders
        ? [PLACEHOLDER_PORTS.decoder.inputs[0]]
        : this.textAlone
          ? TEXT_PORTS.decoder.inputs
          : [...inputs, ...this.states.past];
      try {
        const given = [input, ...mask, ...images, ...cache];
        const wanted = [...outputs, ...this.cache.present, ...states];
        found = await session.run(
          [...names, ...this.cache.past].map((name, i) => [name, given[i] as Tensor] as const),
          wanted,
        );
      } finally {
        this.releaseAll([input, ...mask]);
      }
      const [logits, ...next] = found as [Tensor, ...Tensor[]];
      const scores = this.readLogits(logits, rows);
      this.release(logits);
      this.releaseAll(cache);
      if (states.length === 0) {
        return [this.sequences(rows, next, images, owned, length), scores];
      }
      const made = next.splice(this.cache.present.length);
      this.releaseAll(owned);
      const kept = [...images.slice(0, 1), ...made];
      return [this.sequences(rows, next, kept, made, length), scores];
    } catch (error) {
      this.releaseAll(found);
      sequences.dispose();
      throw error;
    }
  }

  // Rows of the embedding table, and of the image in their places.
  private async embedded(
    ids: readonly number[],
    dims: readonly number[],
    image: Floats | undefined,
  ): Promise<Tensor> {
    const session = this.embeddings ?? fail("runtime", "the embeddings are not loaded");
    const { inputs, outputs } = PLACEHOLDER_PORTS.embeddings;
    const input = this.tensor("int64", dims, BigInt64Array.from(ids, BigInt));
    let embeds: Tensor;
    try {
      [embeds] = (await session.run([[inputs[0], input]], outputs)) as [Tensor];
    } finally {
      this.release(input);
    }
    if (image === undefined) {
      return embeds;
    }
    try {
      const { dims: shape, values } = this.floats(embeds);
      const hidden = shape.at(-1) as number;
      const places = ids.flatMap((id, i) => (id === this.shape.imageTokenId ? [i] : []));
      if (image.dims.at(-1) !== hidden || image.values.length !== places.length * hidden) {
        fail(
          "mismatch",
          `the image has ${image.values.length / hidden} positions, the prompt has places for ${places.length}`,
        );
      }
      for (const [row, place] of places.entries()) {
        values.set(image.values.subarray(row * hidden, (row + 1) * hidden), place * hidden);
      }
      return this.tensor("float32", shape, values);
    } finally {
      this.release(embeds);
    }
  }

  private async reorder(
    sequences: OrtSequences<Tensor>,
    parents: readonly number[],
  ): Promise<OrtSequences<Tensor>> {
    const { rows, cache, images, owned, length } = sequences;
    if (parents.length === rows && parents.every((parent, row) => parent === row)) {
      return sequences;
    }
    try {
      // All rows see the same image, so only their number matters.
      const other = parents.length !== rows;
      const found = await this.rowsOf(other ? [...cache, ...images] : cache, parents);
      const nextImages = found.splice(cache.length);
      this.releaseAll(cache);
      if (!other) {
        return this.sequences(parents.length, found, images, owned, length);
      }
      this.releaseAll(owned);
      return this.sequences(parents.length, found, nextImages, nextImages, length);
    } catch (error) {
      sequences.dispose();
      throw error;
    }
  }
}
