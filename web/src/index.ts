// Captions images, and generates text, with a folder that `lorapress press` wrote.
import type { Backend, Caption, CaptionerInfo } from "./backend.js";
import { fail } from "./errors.js";
import type { GenerateOptions } from "./generation/generate_options.js";
import { type ImageSource, toPicture } from "./image/picture.js";
import { type LoadOptions, openBackend } from "./open.js";
import { streamed } from "./stream.js";

export type { Caption, CaptionerInfo, ModelInfo, Timings } from "./backend.js";
export type { DtypeChoice } from "./devices.js";
export type { Device, EngineName } from "./engine/engine_api.js";
export { ERROR_CODES, type ErrorCode, LorapressError } from "./errors.js";
export type { GenerateOptions } from "./generation/generate_options.js";
export type { EarlyStopping, GenerationSettings } from "./generation/generation_settings.js";
export type { Pixels } from "./image/image.js";
export type { ImageSource } from "./image/picture.js";
export { clearCache } from "./loading/cache.js";
export type { LoadPhase, LoadProgress, ProgressListener } from "./loading/progress.js";
export type { LoadOptions } from "./open.js";
export {
  type GeneratedText,
  TextGenerator,
  type TextOptions,
  type TextPrompt,
} from "./text_generator.js";

export interface CaptionOptions extends GenerateOptions {
  /** Stops within one token. */
  readonly signal?: AbortSignal | undefined;
}

export class Captioner {
  readonly info: CaptionerInfo;
  private readonly backend: Backend;

  private constructor(backend: Backend, info: CaptionerInfo) {
    this.backend = backend;
    this.info = info;
  }

  /**
   * `url`: the folder, relative to the page; in Node, Bun and Deno also a path. Resolves as soon as the folder is known to be valid, so
   * that captions can be requested while it is still loading; `ready` resolves when it is loaded.
   */
  static async load(url: string | URL, options: LoadOptions = {}): Promise<Captioner> {
    const backend = await openBackend(url, options);
    const { imageSize } = backend.info;
    if (imageSize === undefined) {
      await backend.dispose();
      fail("unsupported", "the folder's model takes no images; TextGenerator runs it");
    }
    return new Captioner(backend, { ...backend.info, imageSize });
  }

  /** Resolves when everything is loaded; rejects with the reason when loading fails. */
  get ready(): Promise<void> {
    return this.backend.ready;
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
    return yield* streamed(options, (more, onPiece) => this.run(image, more, onPiece));
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
