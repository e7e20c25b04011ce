// From the logits of one position to the next token: the rules, filters and draws of transformers'
// generate(), on plain vectors; the twin of src/runtime/generation/sampling.cc.
import { fail } from "../errors.js";

/**
 * What forbids or discourages tokens, in the order in which it is applied. Logits for greedy and
 * sampling, log-probabilities for beams. Token ids are inside the vocabulary.
 */
export interface TokenRules {
  /**
   * Ids that count as generated, as in generate(input_ids=...): the prompt of a placeholder folder or of a decoder
   * alone; with cross attention the start token and the prompt.
   */
  readonly before?: readonly number[] | undefined;
  readonly repetitionPenalty: number;
  readonly noRepeatNgramSize: number;
  /** No empty word, no lone end token. */
  readonly badWordsIds: readonly (readonly number[])[];
  readonly minNewTokens: number;
  readonly eosTokenIds: readonly number[];
  /** The only token allowed as the second one of all ids. */
  readonly forcedBosTokenId: number | undefined;
  /** The only tokens allowed as the last of maxNewTokens. */
  readonly forcedEosTokenId: readonly number[];
  readonly maxNewTokens: number;
  readonly suppressTokens: readonly number[];
  /** Not as the first token; with a forcedBosTokenId not as the second. */
  readonly beginSuppressTokens: readonly number[];
}

/** What sampling leaves to choose from, in the order in which it is applied. */
export interface SamplingFilters {
  readonly temperature: number;
  /** 0 is off. */
  readonly topK: number;
  /** 1 is off. */
  readonly topP: number;
}

const FORBIDDEN: number = Number.NEGATIVE_INFINITY;

// The largest score. Throws where one is not a number, or all are infinite.
function largestOf(scores: Float32Array): number {
  let largest = FORBIDDEN;
  for (let id = 0; id < scores.length; ++id) {
    largest = Math.max(largest, scores[id] as number); // NaN stays NaN
  }
  if (Number.isNaN(largest) || largest === Number.POSITIVE_INFINITY) {
    fail("runtime", "the decoder gave logits that are not finite; are the weights intact?");
  }
  if (largest === FORBIDDEN) {
    fail("runtime", "no token is left to choose: the rules forbid every token");
  }
  return largest;
}

/** The largest score's index, the first of equal ones. */
export function argmax(scores: Float32Array): number {
  return scores.indexOf(largestOf(scores));
}

/** scores - log(sum(exp(scores))), in place. */
export function logSoftmax(scores: Float32Array): void {
  const largest = largestOf(scores);
  let sum = 0;
  for (let id = 0; id < scores.length; ++id) {
    sum += Math.exp((scores[id] as number) - largest);
  }
  const logSum = Math.fround(Math.log(sum));
  for (let id = 0; id < scores.length; ++id) {
    scores[id] = Math.fround((scores[id] as number) - largest) - logSum;
  }
}

/** In place; `generated` are the new tokens so far. */
export function applyRules(
  rules: TokenRules,
  generated: readonly number[],
  scores: Float32Array,
): void {
  const { before = [] } = rules;
  const seen = before.length === 0 ? generated : [...before, ...generated];
  if (rules.repetitionPenalty !== 1) {
    penalise(Math.fround(rules.repetitionPenalty), seen, scores);
  }
  if (rules.noRepeatNgramSize > 0) {
    forbidNgrams(rules.noRepeatNgramSize, seen, scores);
  }
  forbidWords(rules.badWordsIds, seen, scores);
  if (generated.length < rules.minNewTokens) {
    forbid(rules.eosTokenIds, scores);
  }
  // The id behind the first: generate(inputs_embeds=...) begins with no ids, so that it is the second new one; behind a
  // start token it is the first; behind a prompt of ids there is none.
  const forcedBos = before.length > 1 ? undefined : rules.forcedBosTokenId;
  if (forcedBos !== undefined && seen.length === 1) {
    force([forcedBos], scores);
  }
  if (rules.forcedEosTokenId.length > 0 && generated.length === rules.maxNewTokens - 1) {
    force(rules.forcedEosTokenId, scores);
  }
  forbid(rules.suppressTokens, scores);
  if (generated.length === (forcedBos === undefined ? 0 : 1)) {
    forbid(rules.beginSuppressTokens, scores);
  }
}

function forbid(ids: readonly number[], scores: Float32Array): void {
  for (const id of ids) {
    scores[id] = FORBIDDEN;
  }
}

// The last token of every word whose others are the latest tokens.
function forbidWords(
  words: readonly (readonly number[])[],
  generated: readonly number[],
  scores: Float32Array,
): void {
  for (const word of words) {
    const before = word.length - 1;
    const first = generated.length - before;
    let same = first >= 0;
    for (let i = 0; i < before && same; ++i) {
      same = word[i] === generated[first + i];
    }
    if (same) {
      scores[word[before] as number] = FORBIDDEN;
    }
  }
}

// Forbids all other tokens.
function force(ids: readonly number[], scores: Float32Array): void {
  scores.fill(FORBIDDEN);
  for (const id of ids) {
    scores[id] = 0;
  }
}

// Once per token, however often it came.
function penalise(penalty: number, generated: readonly number[], scores: Float32Array): void {
  for (const id of new Set(generated)) {
    const score = scores[id] as number;
    scores[id] = score < 0 ? score * penalty : score / penalty;
  }
}

// The last tokens of every n-gram so far that begins with the n - 1 latest tokens.
function forbidNgrams(n: number, generated: readonly number[], scores: Float32Array): void {
  const latest = generated.length - (n - 1);
  for (let i = 0; i + n <= generated.length; ++i) {
    let same = true;
    for (let k = 0; k < n - 1 && same; ++k) {
      same = generated[i + k] === generated[latest + k];
    }
    if (same) {
      scores[generated[i + n - 1] as number] = FORBIDDEN;
    }
  }
}

/** In place: temperature, then top-k, then top-p. */
export function applyFilters(filters: SamplingFilters, scores: Float32Array): void {
  if (filters.temperature !== 1) {
    const temperature = Math.fround(filters.temperature);
    for (let id = 0; id < scores.length; ++id) {
      scores[id] = (scores[id] as number) / temperature;
    }
  }
  if (filters.topK > 0) {
    keepTopK(filters.topK, scores);
  }
  if (filters.topP < 1) {
    keepTopP(filters.topP, scores);
  }
}

// Scores below the k-th highest are out; scores equal to it stay (TopKLogitsWarper).
function keepTopK(topK: number, scores: Float32Array): void {
  const sorted = Float32Array.from(scores).sort();
  const least = sorted[Math.max(0, sorted.length - topK)] as number;
  for (let id = 0; id < scores.length; ++id) {
    if ((scores[id] as number) < least) {
      scores[id] = FORBIDDEN;
    }
  }
}

// From the lowest probability up, tokens are out while their sum is at most 1 - topP
// (TopPLogitsWarper). Seen from the top, the higher id first among equal ones: a token stays while the
// sum above it is below topP, and the first always.
function keepTopP(topP: number, scores: Float32Array): void {
  const largest = largestOf(scores);
  const ids: number[] = [];
  let sum = 0;
  for (let id = 0; id < scores.length; ++id) {
    const score = scores[id] as number;
    if (score !== FORBIDDEN) {
      ids.push(id);
      sum += Math.exp(score - largest);
    }
  }
  ids.sort((a, b) => (scores[b] as number) - (scores[a] as number) || b - a);
  let above = 0;
  for (const [rank, id] of ids.entries()) {
    if (rank > 0 && above >= topP) {
      scores[id] = FORBIDDEN;
    } else {
      above += Math.exp((scores[id] as number) - largest) / sum;
    }
  }
}

/**
 * The first token, in order of the ids, at which the sum of the probabilities so far exceeds
 * `uniform` times their whole sum.
 */
export function sample(scores: Float32Array, uniform: number): number {
  const largest = largestOf(scores);
  let sum = 0;
  for (let id = 0; id < scores.length; ++id) {
    sum += Math.exp((scores[id] as number) - largest);
  }
  const wanted = uniform * sum;
  let soFar = 0;
  let last = 0;
  for (let id = 0; id < scores.length && soFar <= wanted; ++id) {
    const score = scores[id] as number;
    if (score !== FORBIDDEN) {
      last = id;
      soFar += Math.exp(score - largest);
    }
  }
  return last;
}

const STATE_WORDS = 624;
const MIDDLE = 397;

/**
 * Uniform numbers in [0, 1) with 53 bits, the same in every runtime: genrand_res53() of the Mersenne
 * Twister MT19937 after init_genrand(seed) (Matsumoto and Nishimura 2002), which numpy has as
 * RandomState(seed).random_sample().
 */
export class RandomNumbers {
  private readonly state: Uint32Array = new Uint32Array(STATE_WORDS);
  private at = STATE_WORDS;

  constructor(seed: number) {
    this.state[0] = seed;
    for (let i = 1; i < STATE_WORDS; ++i) {
      const before = this.state[i - 1] as number;
      this.state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
    }
  }

  next(): number {
    const high = this.word() >>> 5;
    const low = this.word() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  private word(): number {
    if (this.at === STATE_WORDS) {
      this.twist();
    }
    let y = this.state[this.at++] as number;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  private twist(): void {
    const { state } = this;
    for (let i = 0; i < STATE_WORDS; ++i) {
      const next = state[(i + 1) % STATE_WORDS] as number;
      const y = ((state[i] as number) & 0x80000000) | (next & 0x7fffffff);
      const other = state[(i + MIDDLE) % STATE_WORDS] as number;
      state[i] = other ^ (y >>> 1) ^ ((y & 1) * 0x9908b0df);
    }
    this.at = 0;
  }
}
