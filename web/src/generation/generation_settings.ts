// The generation settings of lorapress.json: keys and ranges are those of
// src/checkpoint/generation_settings.cc; null counts as absent. Not in manifest.ts, so that code that
// only downloads does not contain it.
import type { Manifest } from "../loading/manifest.js";

const MAX_LENGTH = 2 ** 24;
const MAX_LISTED_IDS = 2 ** 18;

/** When a search ends. false: by an estimate; true: at numBeams finished beams; "never": only when certain. */
export type EarlyStopping = boolean | "never";

/** Named as in transformers' generate(); an absent setting is off, or the folder's. */
export interface GenerationSettings {
  /** Counts image and prompt; maxNewTokens overrides it. */
  readonly maxLength?: number | undefined;
  /** No end token before this many new tokens. */
  readonly minNewTokens?: number | undefined;
  /** Counts image and prompt; minNewTokens overrides it. */
  readonly minLength?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  readonly noRepeatNgramSize?: number | undefined;
  readonly badWordsIds?: readonly (readonly number[])[] | undefined;
  /** Never generated. */
  readonly suppressTokens?: readonly number[] | undefined;
  /** Not generated as the first token. */
  readonly beginSuppressTokens?: readonly number[] | undefined;
  /** Forced as the second token. */
  readonly forcedBosTokenId?: number | undefined;
  /** One of these is forced as the last of maxNewTokens. */
  readonly forcedEosTokenId?: readonly number[] | undefined;
  readonly numBeams?: number | undefined;
  readonly lengthPenalty?: number | undefined;
  readonly earlyStopping?: EarlyStopping | undefined;
  readonly doSample?: boolean | undefined;
  readonly temperature?: number | undefined;
  readonly topK?: number | undefined;
  readonly topP?: number | undefined;
}

/** The name here of a key of lorapress.json. */
export const settingName = (key: string): string =>
  key.replace(/_./g, (found) => found.slice(1).toUpperCase());

/** The folder's settings, which apply where a caption has no option. Throws invalid_file. */
export function generationOf({ generation: fields, vocabSize }: Manifest): GenerationSettings {
  const settings: Record<string, unknown> = {};
  const read = (keys: string, parse: (value: unknown, key: string) => unknown): void => {
    for (const key of keys.split(" ")) {
      const value = fields.get(key) ?? undefined;
      settings[settingName(key)] = value === undefined ? value : parse(value, key);
    }
  };
  const range =
    (least: number, most: number, isNumber?: (value: unknown) => boolean) =>
    (value: unknown, key: string): number =>
      fields.bounded(key, value, least, most, isNumber);
  const real = (least: number, most: number) => range(least, most, Number.isFinite);
  const oneOf =
    (...known: unknown[]) =>
    (value: unknown, key: string): unknown =>
      fields.oneOf(key, known, value);
  const token = range(0, vocabSize - 1);
  const tokens = (value: unknown, key: string): number[] =>
    fields.list(key, MAX_LISTED_IDS, value).map((id) => token(id, key));
  read("max_length", range(1, MAX_LENGTH));
  read("min_length", range(0, MAX_LENGTH));
  read("min_new_tokens no_repeat_ngram_size top_k", range(0, 2 ** 20));
  read("num_beams", range(1, 64));
  read("repetition_penalty", real(0.01, 100));
  read("length_penalty", real(-10, 10));
  read("temperature", real(1e-6, 100));
  read("top_p", real(1e-6, 1));
  read("early_stopping", oneOf(true, false, "never"));
  read("do_sample", oneOf(true, false));
  read("suppress_tokens begin_suppress_tokens", tokens);
  read("forced_bos_token_id", token);
  read("forced_eos_token_id", (value, key) =>
    tokens(typeof value === "number" ? [value] : value, key),
  );
  read("bad_words_ids", (value, key) => {
    const words = fields.list(key, MAX_LISTED_IDS, value).map((word) => tokens(word, key));
    fields.list(key, MAX_LISTED_IDS, words.flat());
    return words.every((word) => word.length > 0) ? words : fields.refuse(key, "has empty words");
  });
  return settings;
}
