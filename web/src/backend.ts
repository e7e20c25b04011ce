// The implementation of a Captioner or a TextGenerator: in this thread (local.ts) or in a worker (remote.ts).

import type { DtypeChoice, Dtypes } from "./devices.js";
import type { Device, EngineName } from "./engine/engine_api.js";
import type { GenerateOptions } from "./generation/generate_options.js";
import type { Picture } from "./image/picture.js";
import type { Fetch } from "./loading/fetch.js";
import type { ProgressListener } from "./loading/progress.js";

export interface BackendOptions {
  readonly device?: Device | "auto" | undefined;
  readonly dtype?: DtypeChoice | undefined;
  /**
   * On CPUs: "native", the project's own, "ort", ONNX Runtime, or "auto" (default): the own one, and ONNX Runtime for
   * a graph that it refuses. ONNX Runtime runs what runs on WebGPU.
   */
  readonly engine?: EngineName | "auto" | undefined;
  /** WebAssembly threads; default: one per core, at most 4. One where the page is not cross-origin isolated. */
  readonly threads?: number | undefined;
  /**
   * "check" (default): one conditional request asks whether the folder changed; without an answer
   * the stored model is used. "stored": no request at all while everything is stored.
   */
  readonly update?: "check" | "stored" | undefined;
  /** false: the encoder's weights are freed after each image, and read again from the store for the next. */
  readonly keepEncoder?: boolean | undefined;
  /** false: nothing is written to the browser's storage. */
  readonly cache?: boolean | undefined;
  /** Folder of the engines' .wasm files, relative to the page; by default where the bundler puts them. */
  readonly enginePath?: string | undefined;
  /** Attempts without a new byte before a download is given up, and the wait before the first. */
  readonly retries?: number | undefined;
  readonly retryDelayMs?: number | undefined;
}

export interface LocalOptions extends BackendOptions {
  readonly onProgress?: ProgressListener | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly fetch?: Fetch | undefined;
}

/** What is known of a folder and of how it is run. */
export interface ModelInfo {
  readonly device: Device;
  /** The one that the model is loaded with first; a note says if another takes over. */
  readonly engine: EngineName;
  /** A decoder alone has no encoder, whose dtype is then "". */
  readonly dtypes: Dtypes;
  readonly threads: number;
  readonly maxNewTokens: number;
  /** The folder's own prompt, or an empty text. */
  readonly prompt: string;
  /** Prompts are questions, which go through the folder's chat template. */
  readonly chat: boolean;
  /** dtypes of the folder. */
  readonly available: readonly string[];
}

export interface CaptionerInfo extends ModelInfo {
  readonly imageSize: readonly [height: number, width: number];
}

export interface BackendInfo extends ModelInfo {
  /** undefined: a decoder alone. */
  readonly imageSize: readonly [height: number, width: number] | undefined;
}

export interface Timings {
  /** Waiting for the encoder's, then for the decoder's bytes, when a caption is requested before they arrive. */
  readonly encoderWaitMs: number;
  readonly decoderWaitMs: number;
  readonly preprocessMs: number;
  readonly encodeMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
}

export interface Caption {
  readonly text: string;
  /** New tokens, the closing end-of-text included. */
  readonly ids: readonly number[];
  /** Of beam search only. */
  readonly score: number | undefined;
  readonly timings: Timings;
}

export interface Backend {
  readonly info: BackendInfo;
  /** Resolves when everything is loaded; rejects with the reason when loading fails. */
  readonly ready: Promise<void>;
  /** `onPiece` gets text piece by piece; with beams it is not called. Without a picture where the model takes none. */
  run(
    picture: Picture | undefined,
    options: GenerateOptions,
    signal: AbortSignal,
    onPiece: (piece: string) => void,
  ): Promise<Caption>;
  dispose(): Promise<void>;
}
