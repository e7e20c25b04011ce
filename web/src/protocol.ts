// Messages between a page and its worker. `id` names a caption.
import type { BackendInfo, BackendOptions, Caption } from "./backend.js";
import type { EngineFiles } from "./engine/engine_api.js";
import { type ErrorCode, LorapressError, messageOf } from "./errors.js";
import type { GenerateOptions } from "./generation/generate_options.js";
import type { Picture } from "./image/picture.js";
import type { LoadProgress } from "./loading/progress.js";

export type ToWorker =
  | {
      readonly type: "load";
      readonly url: string;
      readonly options: BackendOptions;
      readonly files: EngineFiles;
    }
  | {
      readonly type: "caption";
      readonly id: number;
      readonly picture: Picture | undefined;
      readonly options: GenerateOptions;
    }
  | { readonly type: "abort"; readonly id: number }
  | { readonly type: "dispose" };

export type FromWorker =
  | { readonly type: "loaded"; readonly info: BackendInfo }
  | { readonly type: "refused"; readonly error: WireError }
  | { readonly type: "ready" }
  | { readonly type: "unready"; readonly error: WireError }
  | { readonly type: "progress"; readonly progress: LoadProgress }
  | { readonly type: "piece"; readonly id: number; readonly text: string }
  | { readonly type: "done"; readonly id: number; readonly caption: Caption }
  | { readonly type: "failed"; readonly id: number; readonly error: WireError }
  | { readonly type: "disposed" };

/** An error class does not survive messages; its name and code do. */
export interface WireError {
  readonly name: string;
  readonly message: string;
  readonly code: ErrorCode | undefined;
}

export function toWire(error: unknown): WireError {
  const code = error instanceof LorapressError ? error.code : undefined;
  return { name: error instanceof Error ? error.name : "Error", message: messageOf(error), code };
}

export function fromWire(error: WireError): Error {
  if (error.name === "AbortError") {
    return new DOMException(error.message, "AbortError");
  }
  return new LorapressError(error.code ?? "runtime", error.message);
}

/** Objects that are transferred and not copied. */
export function transfersOf(picture: Picture | undefined): Transferable[] {
  return picture?.kind === "bitmap" ? [picture.bitmap] : [];
}
