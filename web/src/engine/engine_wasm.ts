// The engine on onnxruntime-web's CPU build. Graphs are those of the transformers.js bundle
// (docs/bundles.md): the decoder puts the image tokens before the text in its first call, when the cache
// is empty, and then drops the first id, a start token.
//
// Everything stays in the engine's heap: a step's cache is the next step's input, and of each step only
// the logits are copied out.

import { asLorapressError, fail } from "../errors.js";
import type { PieceMemory } from "../loading/pieces.js";
import {
  BytesGone,
  type EncodedImage,
  type Engine,
  type GraphBytes,
  type Logits,
  type ModelShape,
  type Sequences,
} from "./engine_api.js";
import { halvesToFloats } from "./half.js";
import { HeapFile } from "./heap_file.js";
import { splitGraph } from "./onnx_file.js";
import { FLOAT, FLOAT16, type HeapTensor, INT64, OrtHeap } from "./ort_heap.js";
import type { OrtFactory } from "./ort_module.js";
import { OrtSession } from "./ort_session.js";
import { requireNames, requireSameCache, requireVocabulary } from "./ports.js";

// Weights that stand in the graph file itself; a bundle's other files end in .onnx_data.
const OWN_WEIGHTS = "graph";

class HeapImage implements EncodedImage {
  private readonly heap: OrtHeap;
  readonly tensor: HeapTensor;

  constructor(heap: OrtHeap, tensor: HeapTensor) {
    this.heap = heap;
    this.tensor = tensor;
  }

  dispose(): void {
    this.heap.release(this.tensor);
  }
}

class HeapSequences implements Sequences {
  readonly rows: number;
  readonly cache: readonly HeapTensor[];
  /** One copy per row: the decoder asks for it in every step, though it reads it in the first only. */
  readonly images: HeapTensor;
  /** Whether `images` is this object's to free, or the caption's. */
  readonly ownsImages: boolean;
  private readonly heap: OrtHeap;

  constructor(
    heap: OrtHeap,
    rows: number,
    cache: readonly HeapTensor[],
    images: HeapTensor,
    ownsImages: boolean,
  ) {
    this.heap = heap;
    this.rows = rows;
    this.cache = cache;
    this.images = images;
    this.ownsImages = ownsImages;
  }

  releaseCache(): void {
    for (const tensor of this.cache) {
      this.heap.release(tensor);
    }
  }

  dispose(): void {
    this.releaseCache();
    if (this.ownsImages) {
      this.heap.release(this.images);
    }
  }
}

export class WasmEngine implements Engine {
  readonly device = "wasm" as const;
  readonly threads: number;
  readonly memory: PieceMemory;
  private readonly heap: OrtHeap;
  private readonly shape: ModelShape;
  private readonly pastNames: string[] = [];
  private readonly presentNames: string[] = [];
  private encoder: OrtSession | undefined;
  private decoder: OrtSession | undefined;
  private cacheType: number = FLOAT;
  private logits: Float32Array<ArrayBuffer> = new Float32Array(0);
  private turn: Promise<unknown> = Promise.resolve();

  private constructor(heap: OrtHeap, shape: ModelShape, threads: number) {
    this.heap = heap;
    this.memory = heap.memory;
    this.shape = shape;
    this.threads = threads;
    for (let layer = 0; layer < shape.numLayers; ++layer) {
      for (const which of ["key", "value"]) {
        this.pastNames.push(`past_key_values.${layer}.${which}`);
        this.presentNames.push(`present.${layer}.${which}`);
      }
    }
  }

  static async start(
    factory: OrtFactory,
    shape: ModelShape,
    threads: number,
    wasm: string,
  ): Promise<WasmEngine> {
    return new WasmEngine(await OrtHeap.start(factory, threads, wasm), shape, threads);
  }

  loadEncoder(graph: GraphBytes): Promise<void> {
    return this.inTurn("cannot load the encoder", async () => {
      this.encoder = await this.open(graph);
      requireNames(this.encoder, "encoder", ["pixel_values"], ["last_hidden_state"]);
    });
  }

  loadDecoder(graph: GraphBytes): Promise<void> {
    return this.inTurn("cannot load the decoder", async () => {
      const session = await this.open(graph);
      this.decoder = session;
      const inputs = ["input_ids", "encoder_hidden_states", ...this.pastNames];
      requireNames(session, "decoder", inputs, ["logits", ...this.presentNames]);
      const port = session.inputs.find(({ name }) => name === this.pastNames[0]);
      if (port === undefined || (port.type !== FLOAT && port.type !== FLOAT16)) {
        fail("unsupported", `the decoder's ${this.pastNames[0]} is no float tensor`);
      }
      requireSameCache(port.dims, this.shape);
      this.cacheType = port.type;
    });
  }

  encode(pixels: Float32Array): Promise<EncodedImage> {
    return this.inTurn("the encoder failed", async () => {
      const session = this.encoder ?? fail("runtime", "the encoder is not loaded");
      const { heap } = this;
      const bytes = new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength);
      const input = heap.tensor(FLOAT, [1, 3, ...this.shape.imageSize], (to) => to.set(bytes));
      try {
        const [image] = await session.run([["pixel_values", input]], ["last_hidden_state"]);
        return new HeapImage(heap, image as HeapTensor);
      } finally {
        heap.release(input);
      }
    });
  }

  prefill(image: EncodedImage, prompt: readonly number[]): Promise<[Sequences, Logits]> {
    return this.inTurn("the decoder failed", () => {
      const { numKeyValueHeads, headDim, startTokenId } = this.shape;
      const dims = [1, numKeyValueHeads, 0, headDim];
      const cache = this.pastNames.map(() => this.heap.tensor(this.cacheType, dims, () => {}));
      const { tensor } = image as HeapImage;
      const empty = new HeapSequences(this.heap, 1, cache, tensor, false);
      return this.run(empty, [startTokenId, ...prompt]);
    });
  }

  step(
    sequences: Sequences,
    parents: readonly number[],
    tokens: readonly number[],
  ): Promise<[Sequences, Logits]> {
    return this.inTurn("the decoder failed", () =>
      this.run(this.reorder(sequences as HeapSequences, parents), tokens),
    );
  }

  async dispose(): Promise<void> {
    const sessions = [this.encoder, this.decoder];
    this.encoder = undefined;
    this.decoder = undefined;
    await this.turn.catch(() => {});
    for (const session of sessions) {
      session?.release();
    }
  }

  // One call at a time: a session does not take a second run while one goes on.
  private inTurn<T>(what: string, task: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(task, task).catch((error: unknown) => {
      throw error instanceof BytesGone ? error : asLorapressError(error, "runtime", what);
    });
    this.turn = mine.catch(() => {});
    return mine;
  }

  private async open({ model, weights, keep = false }: GraphBytes): Promise<OrtSession> {
    const split = splitGraph(model, OWN_WEIGHTS, this.shape.headDim);
    const files = new Map([
      [OWN_WEIGHTS, model],
      ...weights.map(({ name, bytes }) => [name, bytes] as const),
    ]);
    const mounted = new Map<string, HeapFile>();
    try {
      for (const [name, ranges] of split.weights) {
        const file = files.get(name);
        if (file !== undefined) {
          mounted.set(name, new HeapFile(this.heap, file, ranges, keep));
        }
      }
      return await OrtSession.open(this.heap, split.graph, mounted);
    } catch (error) {
      throw [...mounted.values()].some(({ missed }) => missed) && !keep ? new BytesGone() : error;
    } finally {
      for (const file of mounted.values()) {
        file.dispose();
      }
    }
  }

  // `ids`: the prompt of one row, or one id per row. The sequences are used up, whatever happens.
  private async run(
    sequences: HeapSequences,
    ids: readonly number[],
  ): Promise<[HeapSequences, Logits]> {
    const { heap } = this;
    const { rows, cache, images, ownsImages } = sequences;
    let found: HeapTensor[] = [];
    try {
      const session = this.decoder ?? fail("runtime", "the decoder is not loaded");
      const values = BigInt64Array.from(ids, BigInt);
      const input = heap.tensor(INT64, [rows, ids.length / rows], (to) =>
        to.set(new Uint8Array(values.buffer)),
      );
      try {
        const past = this.pastNames.map((name, i) => [name, cache[i] as HeapTensor] as const);
        found = await session.run(
          [["input_ids", input], ["encoder_hidden_states", images], ...past],
          ["logits", ...this.presentNames],
        );
      } finally {
        heap.release(input);
      }
      const [logits, ...next] = found as [HeapTensor, ...HeapTensor[]];
      const scores = this.copyLogits(logits, rows);
      heap.release(logits);
      sequences.releaseCache();
      return [new HeapSequences(heap, rows, next, images, ownsImages), scores];
    } catch (error) {
      for (const tensor of found) {
        heap.release(tensor);
      }
      sequences.dispose();
      throw error;
    }
  }

  private copyLogits(tensor: HeapTensor, rows: number): Logits {
    const { type, dims, bytes } = this.heap.view(tensor);
    requireVocabulary(dims, rows, this.shape);
    if (type === FLOAT16) {
      return halvesToFloats(new Uint16Array(bytes.slice().buffer));
    }
    if (this.logits.byteLength !== bytes.length) {
      this.logits = new Float32Array(bytes.length / 4);
    }
    new Uint8Array(this.logits.buffer).set(bytes);
    return this.logits;
  }

  private reorder(sequences: HeapSequences, parents: readonly number[]): HeapSequences {
    const { rows, cache, images, ownsImages } = sequences;
    if (parents.length === rows && parents.every((parent, row) => parent === row)) {
      return sequences;
    }
    const taken: HeapTensor[] = [];
    try {
      for (const tensor of cache) {
        taken.push(this.rowsOf(tensor, parents));
      }
      // All rows see the same image, so only their number matters.
      const nextImages = parents.length === rows ? images : this.rowsOf(images, parents);
      sequences.releaseCache();
      if (nextImages !== images && ownsImages) {
        this.heap.release(images);
      }
      const owns = nextImages !== images || ownsImages;
      return new HeapSequences(this.heap, parents.length, taken, nextImages, owns);
    } catch (error) {
      for (const tensor of taken) {
        this.heap.release(tensor);
      }
      sequences.dispose();
      throw error;
    }
  }

  /** A new tensor whose row i is row parents[i] of the old one. */
  private rowsOf(tensor: HeapTensor, parents: readonly number[]): HeapTensor {
    const { type, dims, bytes } = this.heap.view(tensor);
    const size = bytes.length / (dims[0] as number);
    return this.heap.tensor(type, [parents.length, ...dims.slice(1)], (to) => {
      for (const [row, parent] of parents.entries()) {
        to.set(bytes.subarray(parent * size, (parent + 1) * size), row * size);
      }
    });
  }
}
