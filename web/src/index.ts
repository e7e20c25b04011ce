// Captions images with a folder that `lorapress press` wrote.
import type { Backend, BackendOptions, Caption, CaptionerInfo } from "./backend.js";
import { engineFilesIn, engineOf } from "./engine/engine.js";
import { engineFiles, workerUrl } from "./engine/engine_files.js";
import type { GenerateOptions } from "./generation/generate_options.js";
import { type ImageSource, toPicture } from "./image/picture.js";
import type { Fetch } from "./loading/fetch.js";
import type { ProgressListener } from "./loading/progress.js";
import { LocalBackend } from "./local.js";
import { WorkerBackend } from "./remote.js";

export type { Caption, CaptionerInfo, Timings } from "./backend.js";
export type { DtypeChoice } from "./devices.js";
export type { Device } from "./engine/engine_api.js";
export { ERROR_CODES, type ErrorCode, LorapressError } from "./errors.js";
export type { GenerateOptions } from "./generation/generate_options.js";
export type { EarlyStopping, GenerationSettings } from "./generation/generation_settings.js";
export type { Pixels } from "./image/image.js";
export type { ImageSource } from "./image/picture.js";
export { clearCache } from "./loading/cache.js";
export type { LoadPhase, LoadProgress, ProgressListener } from "./loading/progress.js";

export interface LoadOptions extends BackendOptions {
  /** true (default where there are workers), false (this thread), or a worker of lorapress/worker. */
  readonly worker?: boolean | Worker | undefined;
  readonly onProgress?: ProgressListener | undefined;
  /** Stops loading; once the captioner is ready, use dispose(). */
  readonly signal?: AbortSignal | undefined;
  /** Instead of the global fetch; only without a worker. */
  readonly fetch?: Fetch | undefined;
}

export interface CaptionOptions extends GenerateOptions {
  /** Stops within one token. */
  readonly signal?: AbortSignal | undefined;
}

export class Captioner {
  private readonly backend: Backend;

  private constructor(backend: Backend) {
    this.backend = backend;
  }

  /**
   * `url`: the folder, relative to the page. Resolves as soon as the folder is known to be valid, so
   * that captions can be requested while it is still loading; `ready` resolves when it is loaded.
   */
  static async load(url: string | URL, options: LoadOptions = {}): Promise<Captioner> {
    const { worker = hasModuleWorkers() && options.fetch === undefined, ...rest } = options;
    const files = engineFilesIn(options.enginePath, engineFiles());
    if (worker === false) {
      return new Captioner(await LocalBackend.load(url, rest, engineOf(files)));
    }
    const given = worker === true ? workerUrl() : worker;
    return new Captioner(await WorkerBackend.load(url, rest, files, given));
  }

  /** Resolves when everything is loaded; rejects with the reason when loading fails. */
  get ready(): Promise<void> {
    return this.backend.ready;
  }

  get info(): CaptionerInfo {
    return this.backend.info;
  }

  /** One at a time: a call waits for earlier calls. */
  async caption(image: ImageSource, options: CaptionOptions = {}): Promise<Caption> {
    return this.run(image, options, () => {});
  }

  /**
   * Yields text in pieces that never end inside a character; returns the caption. Leaving the loop stops
   * the generation. With beams the whole text comes at the end.
   */
  async *stream(
    image: ImageSource,
    options: CaptionOptions = {},
  ): AsyncGenerator<string, Caption, undefined> {
    const left = new AbortController();
    const { signal } = options;
    const both = signal === undefined ? left.signal : anySignal(signal, left);
    const pieces: string[] = [];
    let wake = (): void => {};
    let ended = false;
    const done = this.run(image, { ...options, signal: both }, (piece) => {
      pieces.push(piece);
      wake();
    });
    const end = (): void => {
      ended = true;
      wake();
    };
    done.then(end, end);
    try {
      for (;;) {
        const piece = pieces.shift();
        if (piece !== undefined) {
          yield piece;
        } else if (ended) {
          return await done;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      left.abort();
      await done.catch(() => {}); // a caller still iterating has already received this error from the loop above
    }
  }

  /** Stops all work and frees the memory. */
  async dispose(): Promise<void> {
    await this.backend.dispose();
  }

  private async run(
    image: ImageSource,
    options: CaptionOptions,
    onPiece: (piece: string) => void,
  ): Promise<Caption> {
    const { signal = new AbortController().signal, ...rest } = options;
    signal.throwIfAborted();
    return this.backend.run(await toPicture(image, signal), rest, signal, onPiece);
  }
}

// Not Node, where the engine defines a Worker of another kind.
function hasModuleWorkers(): boolean {
  return typeof Worker === "function" && globalThis.location !== undefined;
}

// Some supported browsers lack AbortSignal.any().
function anySignal(signal: AbortSignal, left: AbortController): AbortSignal {
  const both = new AbortController();
  for (const one of [signal, left.signal]) {
    if (one.aborted) {
      both.abort(one.reason);
    }
    one.addEventListener("abort", () => both.abort(one.reason), { once: true });
  }
  return both.signal;
}
