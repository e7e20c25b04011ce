// The loops of generation: greedy, sampling, and beams that run as one batch after one prefill.
import { BeamSearch, type EarlyStopping, type Hypothesis } from "./beam.js";
import type { EncodedImage, Engine, Logits, Sequences } from "./engine_api.js";
import { fail } from "./errors.js";
import type { Manifest } from "./manifest.js";
import { applyFilters, applyRules, argmax, logSoftmax, RandomNumbers, sample } from "./sampling.js";

/** As transformers' generate(); what is left out is off, or the folder's own setting. */
export interface GenerateOptions {
  /** Text (or its token ids) after the image, before what is generated. */
  readonly prompt?: string | readonly number[] | undefined;
  readonly maxNewTokens?: number | undefined;
  readonly minNewTokens?: number | undefined;
  readonly numBeams?: number | undefined;
  readonly lengthPenalty?: number | undefined;
  readonly earlyStopping?: EarlyStopping | undefined;
  readonly doSample?: boolean | undefined;
  readonly temperature?: number | undefined;
  readonly topK?: number | undefined;
  readonly topP?: number | undefined;
  /** Equal seeds draw equal captions, here and in `lorapress caption`. */
  readonly seed?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  readonly noRepeatNgramSize?: number | undefined;
}

export interface Settings {
  readonly prompt: string | readonly number[];
  readonly maxNewTokens: number;
  readonly numBeams: number;
  readonly lengthPenalty: number;
  readonly earlyStopping: EarlyStopping;
  readonly doSample: boolean;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly seed: number;
  readonly repetitionPenalty: number;
  readonly noRepeatNgramSize: number;
  readonly minNewTokens: number;
  readonly eosTokenIds: readonly number[];
}

export interface Generated {
  /** New tokens, the closing end-of-text included. */
  readonly ids: readonly number[];
  /** Of beams: log-probability over length ^ lengthPenalty. */
  readonly score: number | undefined;
  readonly prefillMs: number;
  readonly decodeMs: number;
}

const MAX_BEAMS = 64;
const MAX_INTEGER: number = 2 ** 31 - 1;

type Numeric = Exclude<
  {
    [K in keyof GenerateOptions]: GenerateOptions[K] extends number | undefined ? K : never;
  }[keyof GenerateOptions],
  undefined
>;

/** Throws invalid_argument for what cannot be meant. */
export function settingsOf(options: GenerateOptions, manifest: Manifest): Settings {
  const integer = (name: Numeric, standard: number, least: number, most: number): number => {
    const value = options[name] ?? standard;
    if (!Number.isInteger(value) || value < least || value > most) {
      fail(
        "invalid_argument",
        `${name} is ${String(value)}, expected an integer ${least} to ${most}`,
      );
    }
    return value;
  };
  const above = (name: Numeric, standard: number, most: number): number => {
    const value = options[name] ?? standard;
    if (typeof value !== "number" || !(value > 0 && value <= most)) {
      fail(
        "invalid_argument",
        `${name} is ${String(value)}, expected more than 0, at most ${most}`,
      );
    }
    return value;
  };
  const lengthPenalty = options.lengthPenalty ?? 1;
  if (!Number.isFinite(lengthPenalty)) {
    fail("invalid_argument", `lengthPenalty is ${String(lengthPenalty)}, expected a number`);
  }
  const earlyStopping = options.earlyStopping ?? false;
  if (typeof earlyStopping !== "boolean" && earlyStopping !== "never") {
    fail(
      "invalid_argument",
      `earlyStopping is ${String(earlyStopping)}, expected a boolean or "never"`,
    );
  }
  const settings: Settings = {
    prompt: Array.isArray(options.prompt) ? options.prompt : String(options.prompt ?? ""),
    maxNewTokens: integer("maxNewTokens", manifest.maxNewTokens, 1, MAX_INTEGER),
    minNewTokens: integer("minNewTokens", 0, 0, MAX_INTEGER),
    numBeams: integer("numBeams", 1, 1, MAX_BEAMS),
    lengthPenalty,
    earlyStopping,
    doSample: options.doSample ?? false,
    temperature: above("temperature", 1, 1e6),
    topK: integer("topK", 0, 0, MAX_INTEGER),
    topP: above("topP", 1, 1),
    seed: integer("seed", 0, 0, 2 ** 32 - 1),
    repetitionPenalty: above("repetitionPenalty", 1, 1e6),
    noRepeatNgramSize: integer("noRepeatNgramSize", 0, 0, MAX_INTEGER),
    eosTokenIds: manifest.eosTokenIds,
  };
  refuseContradictions(options, settings, manifest);
  return settings;
}

function refuseContradictions(
  options: GenerateOptions,
  settings: Settings,
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

/** Throws when image, prompt and new tokens do not fit the model. */
export function requireRoom(
  manifest: Manifest,
  prompt: readonly number[],
  maxNewTokens: number,
): void {
  const inside = (id: number): boolean =>
    Number.isInteger(id) && id >= 0 && id < manifest.vocabSize;
  const outside = prompt.find((id) => !inside(id));
  if (outside !== undefined) {
    fail("mismatch", `the prompt has the token ${outside}, the model knows ${manifest.vocabSize}`);
  }
  const { imageTokens, maxPositions } = manifest;
  if (imageTokens + prompt.length + maxNewTokens > maxPositions) {
    fail(
      "invalid_argument",
      `${imageTokens} image tokens, ${prompt.length} prompt tokens and ${maxNewTokens} new tokens do not fit the model's ${maxPositions} positions`,
    );
  }
}

/** `onToken` hears every new token but an end token; of beams nothing, since they may change. */
export async function generate(
  engine: Engine,
  image: EncodedImage,
  prompt: readonly number[],
  settings: Settings,
  signal: AbortSignal,
  onToken: (id: number) => void,
): Promise<Generated> {
  const start = performance.now();
  const [sequences, logits] = await engine.prefill(image, prompt);
  const decodeStart = performance.now();
  const run = new Run(engine, sequences, signal);
  try {
    const { ids, score } =
      settings.numBeams > 1
        ? await searchBeams(run, logits, settings)
        : await chooseTokens(run, logits, settings, onToken);
    const end = performance.now();
    return { ids, score, prefillMs: decodeStart - start, decodeMs: end - decodeStart };
  } finally {
    run.dispose();
  }
}

// The sequences of one caption: given back whatever happens, not advanced once aborted.
class Run {
  private readonly engine: Engine;
  private readonly signal: AbortSignal;
  private sequences: Sequences | undefined;

  constructor(engine: Engine, sequences: Sequences, signal: AbortSignal) {
    this.engine = engine;
    this.sequences = sequences;
    this.signal = signal;
  }

  async step(parents: readonly number[], tokens: readonly number[]): Promise<Logits> {
    this.signal.throwIfAborted();
    const { sequences } = this;
    if (sequences === undefined) {
      throw new Error("stepped after the end");
    }
    this.sequences = undefined;
    const [next, logits] = await this.engine.step(sequences, parents, tokens);
    this.sequences = next;
    this.signal.throwIfAborted();
    return logits;
  }

  dispose(): void {
    this.sequences?.dispose();
    this.sequences = undefined;
  }
}

type Found = Pick<Generated, "ids" | "score">;

async function chooseTokens(
  run: Run,
  first: Logits,
  settings: Settings,
  onToken: (id: number) => void,
): Promise<Found> {
  const random = new RandomNumbers(settings.seed);
  const ids: number[] = [];
  for (let scores = first; ; ) {
    applyRules(settings, ids, scores);
    let token: number;
    if (settings.doSample) {
      applyFilters(settings, scores);
      token = sample(scores, random.next());
    } else {
      token = argmax(scores);
    }
    ids.push(token);
    const ends = settings.eosTokenIds.includes(token);
    if (!ends) {
      onToken(token);
    }
    if (ends || ids.length >= settings.maxNewTokens) {
      return { ids, score: undefined };
    }
    scores = await run.step([0], [token]);
  }
}

async function searchBeams(run: Run, first: Logits, settings: Settings): Promise<Found> {
  const search = new BeamSearch(settings);
  for (let logits = first, rows = 1; ; rows = settings.numBeams) {
    const size = logits.length / rows;
    const logProbs = Array.from({ length: rows }, (_, row) => {
      const scores = logits.subarray(row * size, (row + 1) * size);
      logSoftmax(scores);
      applyRules(settings, (search.running[row] as Hypothesis).ids, scores);
      return scores;
    });
    search.advance(logProbs);
    if (search.done) {
      const { ids, score } = search.finished[0] as Hypothesis;
      return { ids, score };
    }
    const tokens = search.running.map(({ ids }) => ids.at(-1) as number);
    logits = await run.step(search.parents, tokens);
  }
}
