// The seam between what captions and what runs a model; src/runtime/engine/decoder.h is its twin. Above it: the
// start token, greedy choice, sampling, beams, text. Below it, in this folder: an engine's library, its files, its
// caches. Code outside this folder sees only this file and engine.ts.
import type { GraphFile, Role } from "../loading/graph_files.js";
import type { PieceMemory, Pieces } from "../loading/pieces.js";

export type Device = "wasm" | "webgpu";

/** Addresses of what ONNX Runtime is made of on a device: JavaScript, imported as it stands, and WebAssembly. */
export interface OrtFiles {
  readonly module: string;
  readonly wasm: string;
}

/** Addresses of the files that engines consist of. */
export interface EngineFiles {
  readonly onnxruntime: Readonly<Record<Device, OrtFiles>>;
}

/** What the decoder's shapes follow from. */
export interface ModelShape {
  readonly imageSize: readonly [height: number, width: number];
  readonly vocabSize: number;
  readonly numHiddenLayers: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
}

export interface EngineRequest {
  readonly device: Device;
  readonly shape: ModelShape;
  /** Of WebAssembly; more than one needs a cross-origin isolated page. */
  readonly threads: number;
}

/** A part of the model, of which an engine asks for what it needs. */
export interface ModelSource {
  readonly role: Role;
  /** What lorapress.json says of it. */
  readonly graph: GraphFile;
  /** A file of the folder, every chunk verified; its pieces in `memory`, if there is such. */
  read(path: string, memory?: PieceMemory): Promise<Pieces>;
}

/** The image tokens, wherever the engine keeps them. */
export interface EncodedImage {
  dispose(): void;
}

/** Sequences that grow together: their caches, wherever the engine keeps them. */
export interface Sequences {
  readonly rows: number;
  dispose(): void;
}

/** float32 [rows, vocabSize]: for the token that comes next. The caller may write over it. Valid until the next call. */
export type Logits = Float32Array;

export interface Engine {
  /**
   * Reads what it needs of a part. What comes out loads the part, and is called once. Parts may be read at the
   * same time, and are loaded one after the other.
   */
  read(source: ModelSource): Promise<() => Promise<void>>;
  encode(pixels: Float32Array): Promise<EncodedImage>;
  /**
   * One row. `ids` are the model's start token, in whose place the image stands, and then the prompt's
   * tokens; the engine adds none.
   */
  prefill(image: EncodedImage, ids: readonly number[]): Promise<[Sequences, Logits]>;
  /**
   * Row i of what comes out is row parents[i] of `sequences` and then tokens[i]; rows may repeat,
   * vanish and change places. `sequences` is used up.
   */
  step(
    sequences: Sequences,
    parents: readonly number[],
    tokens: readonly number[],
  ): Promise<[Sequences, Logits]>;
  dispose(): Promise<void>;
}
