// The interface between generation and engines; src/runtime/engine/decoder.h is its twin. Above it: the
// start token, greedy choice, sampling, beams, text. Below it, in this folder: an engine's library, its files, its
// caches. Code outside this folder sees only this file and engine.ts.
import type { GraphFile, Role } from "../loading/graph_files.js";
import type { Chunk } from "../loading/piece_reader.js";
import type { PieceMemory, Pieces } from "../loading/pieces.js";

export type Device = "wasm" | "webgpu";

/** The project's own engine, on CPUs, and ONNX Runtime. */
export const ENGINES = ["native", "ort"] as const;
export type EngineName = (typeof ENGINES)[number];

/** Builds of the project's own engine: kind of vectors; "threads": over shared memory. */
export const NATIVE_BUILDS = ["relaxed", "relaxed_threads", "simd128", "simd128_threads"] as const;
export type NativeBuild = (typeof NATIVE_BUILDS)[number];

/** Addresses of the project's own engine: WebAssembly, and the module of a thread's worker. */
export interface NativeFiles {
  readonly wasm: Readonly<Record<NativeBuild, string>>;
  readonly thread: string;
}

/** Addresses of ONNX Runtime's files for a device: JavaScript, imported unchanged, and WebAssembly. */
export interface OrtFiles {
  readonly module: string;
  readonly wasm: string;
}

/** Addresses of the files that engines consist of. */
export interface EngineFiles {
  readonly native: NativeFiles;
  readonly onnxruntime: Readonly<Record<Device, OrtFiles>>;
}

/** The numbers that determine the decoder's shapes. */
export interface ModelShape {
  /** undefined: a decoder alone. */
  readonly imageSize: readonly [height: number, width: number] | undefined;
  /** Positions of an image or tile. */
  readonly imageTokens?: number;
  readonly vocabSize: number;
  readonly numHiddenLayers: number;
  /** Whether a pair behind the layers' caches holds token ids. */
  readonly idsInCache?: boolean | undefined;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  /** The image stands where a prompt has this id; undefined: in place of the start token, or nowhere. */
  readonly imageTokenId?: number | undefined;
  /** The decoder attends to the image, which has no position of its own. */
  readonly crossAttention?: boolean;
}

export interface EngineRequest {
  readonly engine: EngineName;
  /** Whether ONNX Runtime takes over where the engine refuses a graph. */
  readonly fallback: boolean;
  readonly device: Device;
  readonly shape: ModelShape;
  /** false: the memory of the encoder is to be given back when it is unloaded. */
  readonly keepEncoder: boolean;
  /** WebAssembly threads; more than one needs a cross-origin isolated page. */
  readonly threads: number;
  /** Something that a user may want to know. */
  note(text: string): void;
}

/** A part of the model, from which an engine reads what it needs. */
export interface ModelSource {
  readonly role: Role;
  /** The entry of lorapress.json. */
  readonly graph: GraphFile;
  /** A file of the folder, every chunk verified; its pieces lie in `memory`, if given. */
  read(path: string, memory?: PieceMemory): Promise<Pieces>;
  /** A file's chunks, all of them verified, in any order. They are the engine's, which gives each to free(). */
  chunks(path: string, take: (index: number, chunk: Chunk) => void): Promise<void>;
  /** Nothing is read of a chunk any more. */
  free(chunk: Chunk): void;
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
   * Reads the files that it needs of a part. The returned function loads the part, and is called once. Parts may be
   * read at the same time, and are loaded one after the other.
   */
  read(source: ModelSource): Promise<() => Promise<void>>;
  /** `pixels`: one or more tiles of [3, height, width], one after the other. */
  encode(pixels: Float32Array): Promise<EncodedImage>;
  /**
   * One row. `ids` are the model's start token, in whose place the image stands unless the decoder attends to
   * it, and then the prompt's tokens; or, with an imageTokenId, a prompt that has this id once per position of the
   * image; or the prompt of a decoder alone, without an image. The engine adds none. `image` must outlive the sequences.
   * `room`: how many steps are expected.
   */
  prefill(
    image: EncodedImage | undefined,
    ids: readonly number[],
    room: number,
  ): Promise<[Sequences, Logits]>;
  /**
   * Row i of the result is row parents[i] of `sequences` and then tokens[i]; rows may repeat,
   * vanish and change places. `sequences` is used up.
   */
  step(
    sequences: Sequences,
    parents: readonly number[],
    tokens: readonly number[],
  ): Promise<[Sequences, Logits]>;
  /** Frees a part that is loaded; read() brings it back. Images stay. */
  unload(role: Role): Promise<void>;
  dispose(): Promise<void>;
}
