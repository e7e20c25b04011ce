// The settings of a caption: its options, else the folder's generation settings, checked.
import { fail } from "../errors.js";
import type { Manifest } from "../loading/manifest.js";
import {
  type EarlyStopping,
  type GenerationSettings,
  generationOf,
  settingName,
} from "./generation_settings.js";
import type { SamplingFilters, TokenRules } from "./sampling.js";

/** An absent option is the folder's own setting. */
export interface GenerateOptions extends GenerationSettings {
  /**
   * Text (or its token ids) after the image, before what is generated; of a chat model the user's message, which
   * goes through the folder's chat template. Without it the folder's own prompt, if it has one.
   */
  readonly prompt?: string | readonly number[] | undefined;
  /** A chat model's system message. */
  readonly system?: string | undefined;
  /** The prompt as it is, without the folder's chat template. */
  readonly rawPrompt?: boolean | undefined;
  readonly maxNewTokens?: number | undefined;
  /** Equal seeds draw equal captions, here and in `lorapress caption`. */
  readonly seed?: number | undefined;
}

export interface Settings extends TokenRules, SamplingFilters {
  readonly prompt: string | readonly number[];
  readonly system: string;
  readonly rawPrompt: boolean;
  readonly numBeams: number;
  readonly lengthPenalty: number;
  readonly earlyStopping: EarlyStopping;
  readonly doSample: boolean;
  readonly seed: number;
}

const MAX_BEAMS = 64;
const MAX_INTEGER: number = 2 ** 31 - 1;

type Numeric = Exclude<
  {
    [K in keyof GenerateOptions]: GenerateOptions[K] extends number | undefined ? K : never;
  }[keyof GenerateOptions],
  undefined
>;

function refuse(name: string, value: unknown, expected: string): never {
  fail("invalid_argument", `${name} is ${String(value)}, expected ${expected}`);
}

/** The options' settings, else the folder's. Throws invalid_argument for impossible values. */
export function settingsOf(
  options: GenerateOptions,
  manifest: Manifest,
  folder: GenerationSettings = generationOf(manifest),
): OpenSettings {
  const chosen = choose(options, folder);
  const integer = (name: Numeric, standard: number, least: number, most: number): number => {
    const value = chosen[name] ?? standard;
    return Number.isInteger(value) && value >= least && value <= most
      ? value
      : refuse(name, value, `an integer ${least} to ${most}`);
  };
  const above = (name: Numeric, standard: number, most: number): number => {
    const value = chosen[name] ?? standard;
    return typeof value === "number" && value > 0 && value <= most
      ? value
      : refuse(name, value, `more than 0, at most ${most}`);
  };
  const optional = (name: Numeric, least: number, most: number): number | undefined =>
    chosen[name] === undefined ? undefined : integer(name, least, least, most);
  const last = manifest.vocabSize - 1;
  const { lengthPenalty = 1, earlyStopping = false } = chosen;
  if (!Number.isFinite(lengthPenalty)) {
    refuse("lengthPenalty", lengthPenalty, "a number");
  }
  if (typeof earlyStopping !== "boolean" && earlyStopping !== "never") {
    refuse("earlyStopping", earlyStopping, 'a boolean or "never"');
  }
  const settings: OpenSettings = {
    prompt: Array.isArray(options.prompt)
      ? options.prompt
      : String(options.prompt || manifest.prompt),
    system: String(options.system ?? ""),
    rawPrompt: options.rawPrompt === true,
    maxNewTokens: optional("maxNewTokens", 1, MAX_INTEGER),
    maxLength: optional("maxLength", 1, MAX_INTEGER),
    minNewTokens: optional("minNewTokens", 0, MAX_INTEGER),
    minLength: integer("minLength", 0, 0, MAX_INTEGER),
    numBeams: integer("numBeams", 1, 1, MAX_BEAMS),
    lengthPenalty,
    earlyStopping,
    doSample: chosen.doSample ?? false,
    temperature: above("temperature", 1, 1e6),
    topK: integer("topK", 0, 0, MAX_INTEGER),
    topP: above("topP", 1, 1),
    seed: integer("seed", 0, 0, 2 ** 32 - 1),
    repetitionPenalty: above("repetitionPenalty", 1, 1e6),
    noRepeatNgramSize: integer("noRepeatNgramSize", 0, 0, MAX_INTEGER),
    badWordsIds: wordsOf(chosen.badWordsIds ?? [], manifest),
    suppressTokens: tokensOf("suppressTokens", chosen.suppressTokens ?? [], last),
    beginSuppressTokens: tokensOf("beginSuppressTokens", chosen.beginSuppressTokens ?? [], last),
    forcedBosTokenId: optional("forcedBosTokenId", 0, last),
    forcedEosTokenId: tokensOf("forcedEosTokenId", chosen.forcedEosTokenId ?? [], last),
    eosTokenIds: manifest.eosTokenIds,
  };
  refuseContradictions(options, settings, manifest);
  return withoutRulesInGraph(options, settings, manifest, folder);
}

// Without the rules that the folder's decoder applies to its own logits.
function withoutRulesInGraph(
  options: GenerateOptions,
  settings: OpenSettings,
  { rulesInGraph }: Manifest,
  folder: GenerationSettings,
): OpenSettings {
  if (rulesInGraph.length === 0) {
    return settings;
  }
  const off = { repetitionPenalty: 1, noRepeatNgramSize: 0, badWordsIds: [] };
  const inside = rulesInGraph.map(settingName) as (keyof typeof off)[];
  const other = inside.find(
    (name) =>
      options[name] !== undefined && JSON.stringify(options[name]) !== JSON.stringify(folder[name]),
  );
  if (other !== undefined) {
    fail(
      "invalid_argument",
      `${other} is not the folder's, which its decoder applies to its own logits; press without rules_in_graph to change it here`,
    );
  }
  if (settings.numBeams > 1) {
    fail(
      "invalid_argument",
      `numBeams ${settings.numBeams}: the folder's decoder applies ${rulesInGraph.join(", ")} to its own logits, beams need them without; press without rules_in_graph, or take one beam`,
    );
  }
  return { ...settings, ...Object.fromEntries(inside.map((name) => [name, off[name]])) };
}

/** Settings whose lengths depend on the prompt. */
export interface OpenSettings extends Omit<Settings, "maxNewTokens" | "minNewTokens"> {
  readonly maxNewTokens: number | undefined;
  readonly maxLength: number | undefined;
  readonly minNewTokens: number | undefined;
  readonly minLength: number;
}

// Sampling options override the folder's beams, and numBeams overrides its sampling; where two names
// mean one length, an option overrides the folder's setting under the other name.
function choose(options: GenerateOptions, folder: GenerationSettings): GenerateOptions {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const chosen: Mutable<GenerateOptions> = { ...folder, ...Object.fromEntries(given) };
  if (chosen.doSample === true && (chosen.numBeams ?? 1) > 1) {
    if (options.doSample === undefined) {
      chosen.doSample = false;
    } else if (options.numBeams === undefined) {
      chosen.numBeams = 1;
    }
  }
  if (options.minLength !== undefined && options.minNewTokens === undefined) {
    chosen.minNewTokens = undefined;
  }
  return chosen;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function tokensOf(name: string, ids: readonly number[], last: number): readonly number[] {
  const bad = Array.isArray(ids)
    ? ids.find((id) => !Number.isInteger(id) || id < 0 || id > last)
    : ids;
  if (bad !== undefined) {
    fail("invalid_argument", `${name} holds ${String(bad)}, expected token ids up to ${last}`);
  }
  return ids;
}

// A word that is nothing but an end token is left out, as NoBadWordsLogitsProcessor does.
function wordsOf(
  words: readonly (readonly number[])[],
  { vocabSize, eosTokenIds }: Manifest,
): readonly (readonly number[])[] {
  if (!Array.isArray(words) || words.some((word) => !Array.isArray(word) || word.length === 0)) {
    fail("invalid_argument", "badWordsIds is not a list of words, each a list of token ids");
  }
  const known = words.map((word) => tokensOf("badWordsIds", word, vocabSize - 1));
  return known.filter((word) => word.length > 1 || !eosTokenIds.includes(word[0] as number));
}

function refuseContradictions(
  options: GenerateOptions,
  settings: OpenSettings,
  manifest: Manifest,
): void {
  const filtered = (["temperature", "topK", "topP", "seed"] as const).find(
    (name) => options[name] !== undefined,
  );
  if (!settings.doSample && filtered !== undefined) {
    fail("invalid_argument", `${filtered} has no effect without doSample: true`);
  }
  if (settings.doSample && settings.numBeams > 1) {
    fail("invalid_argument", "doSample and numBeams above 1 do not go together");
  }
  const needed = settings.numBeams * (1 + settings.eosTokenIds.length);
  if (settings.numBeams > 1 && needed > manifest.vocabSize) {
    fail(
      "invalid_argument",
      `${settings.numBeams} beams need ${needed} tokens to choose from, the model has ${manifest.vocabSize}`,
    );
  }
}

/**
 * The settings behind the image's positions and the prompt's other ids. Throws when these and the new tokens do not fit
 * the model; a length of the folder's own ends there where the model is a decoder alone.
 */
export function fitted(
  settings: OpenSettings,
  manifest: Manifest,
  prompt: readonly number[],
  imageTokens: number = manifest.imageTokens,
): Settings {
  const inside = (id: number): boolean =>
    Number.isInteger(id) && id >= 0 && id < manifest.vocabSize;
  const outside = prompt.find((id) => !inside(id));
  if (outside !== undefined) {
    fail("mismatch", `the prompt has the token ${outside}, the model knows ${manifest.vocabSize}`);
  }
  const { maxPositionEmbeddings } = manifest;
  const { maxLength, minLength, ...rest } = settings;
  const positions = imageTokens + prompt.length;
  const all = maxLength === undefined ? manifest.maxNewTokens : maxLength - positions;
  const room = maxPositionEmbeddings - positions;
  const ofLength = manifest.conditioning === "none" && room > 0 ? Math.min(all, room) : all;
  const maxNewTokens = settings.maxNewTokens ?? ofLength;
  if (maxNewTokens < 1) {
    fail(
      "invalid_argument",
      `maxLength ${maxLength} counts the ${positions} positions of image and prompt and leaves no room behind them`,
    );
  }
  if (positions + maxNewTokens > maxPositionEmbeddings) {
    const image =
      manifest.conditioning === "cross" ? "a start token" : `${imageTokens} image tokens`;
    fail(
      "invalid_argument",
      `${image}, ${prompt.length} prompt tokens and ${maxNewTokens} new tokens do not fit the model's ${maxPositionEmbeddings} positions`,
    );
  }
  const minNewTokens = settings.minNewTokens ?? Math.max(0, minLength - positions);
  return { ...rest, maxNewTokens, minNewTokens };
}
