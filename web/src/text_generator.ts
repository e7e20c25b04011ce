// Generates text with a folder of a decoder alone (bundle "text-generation").
import type { Backend, ModelInfo, Timings } from "./backend.js";
import { fail } from "./errors.js";
import type { GenerateOptions } from "./generation/generate_options.js";
import { type LoadOptions, openBackend } from "./open.js";
import { streamed } from "./stream.js";

export interface TextOptions extends Omit<GenerateOptions, "prompt"> {
  /** Stops within one token. */
  readonly signal?: AbortSignal | undefined;
}

export interface GeneratedText {
  /** Of the new tokens, without special ones. */
  readonly text: string;
  /** New tokens, the closing end-of-text included. */
  readonly ids: readonly number[];
  /** Of beam search only. */
  readonly score: number | undefined;
  readonly timings: Pick<Timings, "decoderWaitMs" | "prefillMs" | "decodeMs">;
}

/** A chat model's question, or a text (or token ids) to continue; "": the folder's own. */
export type TextPrompt = string | readonly number[];

export class TextGenerator {
  readonly info: ModelInfo;
  private readonly backend: Backend;

  private constructor(backend: Backend) {
    this.backend = backend;
    const { imageSize: _, ...info } = backend.info;
    this.info = info;
  }

  /** As Captioner.load(). */
  static async load(url: string | URL, options: LoadOptions = {}): Promise<TextGenerator> {
    const backend = await openBackend(url, options);
    if (backend.info.imageSize !== undefined) {
      await backend.dispose();
      fail("unsupported", "the folder's model takes images; Captioner runs it");
    }
    return new TextGenerator(backend);
  }

  /** Resolves when everything is loaded; rejects with the reason when loading fails. */
  get ready(): Promise<void> {
    return this.backend.ready;
  }

  /** One at a time: a call waits for earlier calls. */
  async generate(prompt: TextPrompt, options: TextOptions = {}): Promise<GeneratedText> {
    return this.run(prompt, options, () => {});
  }

  /**
   * Yields text in pieces that never end inside a character; returns all of it. Leaving the loop stops the generation.
   * With beams the whole text comes at the end.
   */
  async *stream(
    prompt: TextPrompt,
    options: TextOptions = {},
  ): AsyncGenerator<string, GeneratedText, undefined> {
    return yield* streamed(options, (more, onPiece) => this.run(prompt, more, onPiece));
  }

  /** Stops all work and frees the memory. */
  async dispose(): Promise<void> {
    await this.backend.dispose();
  }

  private async run(
    prompt: TextPrompt,
    options: TextOptions,
    onPiece: (piece: string) => void,
  ): Promise<GeneratedText> {
    const { signal = new AbortController().signal, ...rest } = options;
    signal.throwIfAborted();
    const asked = { ...rest, prompt };
    const { text, ids, score, timings } = await this.backend.run(undefined, asked, signal, onPiece);
    const { decoderWaitMs, prefillMs, decodeMs } = timings;
    return { text, ids, score, timings: { decoderWaitMs, prefillMs, decodeMs } };
  }
}
