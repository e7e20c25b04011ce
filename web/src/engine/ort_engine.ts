// The common part of both engines of onnxruntime-web, whatever their tensors are. Graphs are those of the transformers.js
// bundle (docs/bundles.md): the decoder puts the image tokens before the text in its first call, when the cache is
// empty, and then drops the first id, a start token.
//
// Tensors stay inside the engine: a step's cache is the next step's input, and only the logits of each step are
// copied out.
import { asLorapressError, fail } from "../errors.js";
import type { CacheDtype } from "../loading/graph_files.js";
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
  type GraphPorts,
  PORTS,
  requireCache,
  requireNames,
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

interface OrtSequences<Tensor> extends Sequences {
  readonly cache: readonly Tensor[];
  /** One copy per row: every call of the decoder takes the image, though only the first reads it. */
  readonly images: Tensor;
  /** Whether this object frees `images`, or the caption does. */
  readonly ownsImages: boolean;
}

export abstract class OrtEngine<Tensor> implements Engine {
  /** Where pieces of files are stored, if not in arrays of their own. */
  protected abstract readonly memory: PieceMemory | undefined;
  protected readonly shape: ModelShape;
  private readonly cache: CachePorts;
  private encoder: Session<Tensor> | undefined;
  private decoder: Session<Tensor> | undefined;
  private cacheDtype: CacheDtype = "float32";
  private turn: Promise<unknown> = Promise.resolve();

  constructor(shape: ModelShape) {
    this.shape = shape;
    this.cache = cachePorts(shape.numHiddenLayers);
  }

  /** `keptInside`: outputs that are the next run's inputs. */
  protected abstract open(
    source: ModelSource,
    bytes: GraphBytes,
    keptInside: readonly string[],
  ): Promise<Session<Tensor>>;
  protected abstract tensor(
    type: "float32" | "float16" | "int64",
    dims: readonly number[],
    values: Float32Array | Uint16Array | BigInt64Array,
  ): Tensor;
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
      const { inputs, outputs } = PORTS.encoder;
      const input = this.tensor("float32", [1, 3, ...this.shape.imageSize], pixels);
      try {
        const [image] = await session.run([[inputs[0], input]], outputs);
        const tensor = image as Tensor;
        return { tensor, dispose: () => this.release(tensor) } satisfies OrtImage<Tensor>;
      } finally {
        this.release(input);
      }
    });
  }

  prefill(image: EncodedImage, ids: readonly number[]): Promise<[Sequences, Logits]> {
    return this.inTurn("the decoder failed", () => {
      const { numKeyValueHeads, headDim } = this.shape;
      const none = this.cacheDtype === "float16" ? new Uint16Array(0) : new Float32Array(0);
      const dims = [1, numKeyValueHeads, 0, headDim];
      const cache = this.cache.past.map(() => this.tensor(this.cacheDtype, dims, none));
      const { tensor } = image as OrtImage<Tensor>;
      return this.run(this.sequences(1, cache, tensor, false), ids);
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

  async dispose(): Promise<void> {
    const sessions = [this.encoder, this.decoder];
    this.encoder = undefined;
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
      this.encoder = await this.open(source, bytes, PORTS.encoder.outputs);
      requireNames(this.encoder, "encoder");
      return;
    }
    this.decoder = await this.open(source, bytes, this.cache.present);
    requireNames(this.decoder, "decoder", this.cache);
    const port = this.decoder.inputs.find(({ name }) => name === this.cache.past[0]);
    this.cacheDtype = requireCache(port, this.shape, source.graph.cacheDtype);
  }

  // One call at a time: a session does not accept a run while another is in progress.
  private inTurn<T>(what: string, task: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(task, task).catch((error: unknown) => {
      throw asLorapressError(error, "runtime", what);
    });
    this.turn = mine.catch(() => {});
    return mine;
  }

  private releaseAll(tensors: readonly Tensor[]): void {
    for (const tensor of tensors) {
      this.release(tensor);
    }
  }

  private sequences(
    rows: number,
    cache: readonly Tensor[],
    images: Tensor,
    ownsImages: boolean,
  ): OrtSequences<Tensor> {
    const dispose = (): void => this.releaseAll(ownsImages ? [...cache, images] : cache);
    return { rows, cache, images, ownsImages, dispose };
  }

  // `ids`: those of one row, or one id per row. The sequences are consumed, even on failure.
  private async run(
    sequences: OrtSequences<Tensor>,
    ids: readonly number[],
  ): Promise<[Sequences, Logits]> {
    const { rows, cache, images, ownsImages } = sequences;
    const { inputs, outputs } = PORTS.decoder;
    let found: Tensor[] = [];
    try {
      const session = this.decoder ?? fail("runtime", "the decoder is not loaded");
      const dims = [rows, ids.length / rows];
      const input = this.tensor("int64", dims, BigInt64Array.from(ids, BigInt));
      try {
        const past = this.cache.past.map((name, i) => [name, cache[i] as Tensor] as const);
        found = await session.run(
          [[inputs[0], input], [inputs[1], images], ...past],
          [...outputs, ...this.cache.present],
        );
      } finally {
        this.release(input);
      }
      const [logits, ...next] = found as [Tensor, ...Tensor[]];
      const scores = this.readLogits(logits, rows);
      this.release(logits);
      this.releaseAll(cache);
      return [this.sequences(rows, next, images, ownsImages), scores];
    } catch (error) {
      this.releaseAll(found);
      sequences.dispose();
      throw error;
    }
  }

  private async reorder(
    sequences: OrtSequences<Tensor>,
    parents: readonly number[],
  ): Promise<OrtSequences<Tensor>> {
    const { rows, cache, images, ownsImages } = sequences;
    if (parents.length === rows && parents.every((parent, row) => parent === row)) {
      return sequences;
    }
    try {
      // All rows see the same image, so only their number matters.
      const other = parents.length !== rows;
      const found = await this.rowsOf(other ? [...cache, images] : cache, parents);
      const nextImages = other ? (found.pop() as Tensor) : images;
      this.releaseAll(cache);
      if (other && ownsImages) {
        this.release(images);
      }
      return this.sequences(parents.length, found, nextImages, other || ownsImages);
    } catch (error) {
      sequences.dispose();
      throw error;
    }
  }
}
