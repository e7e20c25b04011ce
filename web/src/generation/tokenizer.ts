// Text and token ids, with @huggingface/tokenizers.
import { Tokenizer as HfTokenizer } from "@huggingface/tokenizers";
import { fail, messageOf } from "../errors.js";

const REPLACEMENT = "\uFFFD";

export class Tokenizer {
  private readonly tokenizer: HfTokenizer;

  /** `json` and `config`: parsed tokenizer.json and tokenizer_config.json. */
  constructor(json: unknown, config: unknown) {
    try {
      // The program decodes as tokenizer.json says, without the clean-up of older configs.
      const settings = { ...(config as object), clean_up_tokenization_spaces: false };
      this.tokenizer = new HfTokenizer(json as object, settings);
      correctByteFallback(this.tokenizer.decoder);
    } catch (error) {
      fail("invalid_file", `tokenizer.json: not a usable tokenizer: ${messageOf(error)}`, error);
    }
  }

  /** `special`: with the tokens that tokenizer.json puts around a text. */
  encode(text: string, special = false): number[] {
    return this.tokenizer.encode(text, { add_special_tokens: special }).ids;
  }

  /** The text of one token; undefined: there is none. */
  tokenOf(id: number): string | undefined {
    return this.tokenizer.id_to_token(id);
  }

  /** Special tokens are left out, and so are ids above the vocabulary, since models pad theirs. */
  decode(ids: readonly number[]): string {
    const known = ids.filter((id) => this.tokenizer.id_to_token(id) !== undefined);
    return known.length === 0 ? "" : this.tokenizer.decode(known, { skip_special_tokens: true });
  }
}

// As tokenizers in Rust: a run of bytes is UTF-8, or every one of them becomes U+FFFD.
function decodeRun(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return REPLACEMENT.repeat(bytes.length);
  }
}

// @huggingface/tokenizers 0.2.0 replaces only the broken part of a run, and swallows U+FEFF.
function correctByteFallback(decoder: unknown): void {
  type Part = { config?: { type?: string }; decoders?: unknown[]; text_decoder?: object };
  const { decoders = [] } = (decoder ?? {}) as Part;
  for (const part of [decoder, ...decoders] as (Part | null)[]) {
    if (part?.config?.type === "ByteFallback" && part.text_decoder !== undefined) {
      part.text_decoder = { decode: decodeRun };
    }
  }
}

// Where the replacement characters at the end begin. They may become a real character yet.
function settledLength(text: string): number {
  let end = text.length;
  while (end > 0 && text[end - 1] === REPLACEMENT) {
    end -= 1;
  }
  return end;
}

function commonPrefix(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  let at = 0;
  while (at < most && a[at] === b[at]) {
    at += 1;
  }
  return at;
}

/**
 * Turns a growing id sequence into pieces to show. A piece never ends inside a character; all pieces
 * together are decode(all ids), unless decoding changes text that was shown, as byte fallback does for
 * bytes that are not UTF-8.
 */
export class TextStream {
  private readonly decode: (ids: readonly number[]) => string;
  private readonly ids: number[] = [];
  private text = "";
  private shown = "";

  constructor(decode: (ids: readonly number[]) => string) {
    this.decode = decode;
  }

  /** What the id adds; empty while it is only part of a character. */
  push(id: number): string {
    this.ids.push(id);
    this.text = this.decode(this.ids);
    const end = settledLength(this.text);
    // Byte fallback spells a whole run of bytes as U+FFFD while the run is broken, and what was shown
    // may come back with the next byte. Once other text follows, it will not.
    if (!this.text.startsWith(this.shown) && end < this.text.length) {
      return "";
    }
    return this.advanceTo(end);
  }

  /** The text that was held back, replacement characters included. Ends the stream. */
  finish(): string {
    return this.advanceTo(this.text.length);
  }

  private advanceTo(end: number): string {
    const begin = Math.min(commonPrefix(this.text, this.shown), end);
    this.shown = this.text.slice(0, end);
    return this.text.slice(begin, end);
  }
}
