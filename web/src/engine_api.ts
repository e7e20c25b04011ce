// What the runtime asks of an engine. Nothing above this line knows ONNX, sessions or devices.

export type Device = "wasm" | "webgpu";

/** A graph file and the weight files beside it, by name. */
export interface GraphBytes {
  readonly model: Uint8Array;
  readonly weights: readonly { readonly name: string; readonly bytes: Uint8Array }[];
}

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
