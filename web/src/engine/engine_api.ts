// What the runtime asks of an engine. Nothing above this line knows ONNX, sessions or devices.
import type { PieceMemory, Pieces } from "../loading/pieces.js";

export type Device = "wasm" | "webgpu";

/** Addresses of what an engine is made of: JavaScript, imported as it stands, and WebAssembly. */
export type EngineFiles = Readonly<
  Record<Device, { readonly module: string; readonly wasm: string }>
>;

/** A graph file and the weight files beside it, by name. An engine uses the bytes up. */
export interface GraphBytes {
  /** Nothing is freed before all is read. */
  readonly keep?: boolean | undefined;
  readonly model: Pieces;
  readonly weights: readonly { readonly name: string; readonly bytes: Pieces }[];
}

/** The engine wanted bytes again that it had used up: once more, with `keep`. */
export class BytesGone extends Error {}

/** What the decoder's shapes follow from. */
export interface ModelShape {
  readonly imageSize: readonly [height: number, width: number];
  readonly vocabSize: number;
  readonly numLayers: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly startTokenId: number;
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

/** float32 [rows, vocabSize]: for the token that comes next. Valid until the next call. */
export type Logits = Float32Array;

export interface Engine {
  readonly device: Device;
  readonly threads: number;
  /** Memory in which the engine likes to find the pieces of files, if there is such. */
  readonly memory?: PieceMemory;
  loadEncoder(graph: GraphBytes): Promise<void>;
  loadDecoder(graph: GraphBytes): Promise<void>;
  encode(pixels: Float32Array): Promise<EncodedImage>;
  /** One row: the image, then the prompt. */
  prefill(image: EncodedImage, prompt: readonly number[]): Promise<[Sequences, Logits]>;
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
