import { describe, expect, it } from "vitest";
import {
  applyFilters,
  applyRules,
  argmax,
  logSoftmax,
  RandomNumbers,
  sample,
} from "../src/generation/sampling.js";
import { toScores, vectors } from "./lib/generation.js";

const OUT: number = Number.NEGATIVE_INFINITY;

function expectScores(got: Float32Array, wanted: Float32Array, what: string): void {
  expect(got.length).toBe(wanted.length);
  for (const [id, score] of got.entries()) {
    const want = wanted[id] as number;
    if (Number.isFinite(score) && Number.isFinite(want)) {
      expect(Math.abs(score - want), `${what}: token ${id}`).toBeLessThan(2e-5);
    } else {
      expect(score, `${what}: token ${id}`).toBe(want);
    }
  }
}

describe("the vectors that the program's tests read", () => {
  const { random, filters, logits, rules, rule_scores } = vectors("filters.json");

  it("random numbers are numpy's", () => {
    for (const { seed, uniform, skipped } of random) {
      const numbers = new RandomNumbers(seed);
      for (let i = 0; i < skipped; ++i) {
        numbers.next();
      }
      for (const wanted of uniform) {
        expect(numbers.next()).toBe(wanted);
      }
    }
  });

  it("filters and draws are transformers' and numpy's", () => {
    expect(filters.length).toBeGreaterThan(100);
    for (const row of filters) {
      const { temperature, top_k, top_p } = row.options;
      const what = JSON.stringify([row.logits, row.options]);
      const scores = toScores(logits[row.logits]);
      applyFilters({ temperature, topK: top_k, topP: top_p }, scores);
      const numbers = new RandomNumbers(row.seed);
      const tokens = row.tokens.map(() => sample(scores, numbers.next()));
      expect(tokens, what).toEqual(row.tokens);
      logSoftmax(scores);
      expectScores(scores, toScores(row.log_probs), what);
    }
  });

  it("rules are transformers'", () => {
    for (const row of rules) {
      const scores = toScores(rule_scores);
      const settings = {
        repetitionPenalty: row.options.repetition_penalty ?? 1,
        noRepeatNgramSize: row.options.no_repeat_ngram_size ?? 0,
        badWordsIds: (row.options.bad_words_ids ?? []).filter(
          (word: number[]) => word.length > 1 || !row.eos.includes(word[0]),
        ),
        minNewTokens: row.options.min_new_tokens ?? 0,
        eosTokenIds: row.eos,
        forcedBosTokenId: row.options.forced_bos_token_id,
        forcedEosTokenId: [row.options.forced_eos_token_id ?? []].flat(),
        maxNewTokens: row.max_new_tokens ?? 100,
        suppressTokens: row.options.suppress_tokens ?? [],
        beginSuppressTokens: row.options.begin_suppress_tokens ?? [],
      };
      applyRules(settings, row.generated, scores);
      expectScores(scores, toScores(row.scores), JSON.stringify([row.options, row.generated]));
    }
  });
});

it("draws as numpy's RandomState(0).random_sample()", () => {
  const numbers = new RandomNumbers(0);
  const drawn = [numbers.next(), numbers.next(), numbers.next()];
  expect(drawn).toEqual([0.5488135039273248, 0.7151893663724195, 0.6027633760716439]);
});

it("takes the first of equal scores", () => {
  for (const size of [1, 2, 15, 16, 17, 1000]) {
    for (let place = 0; place < size; place += 1 + Math.floor(size / 9)) {
      const scores = new Float32Array(size).fill(-2);
      scores[place] = -1;
      scores[size - 1] = -1;
      expect(argmax(scores)).toBe(place);
    }
  }
});

it("never draws what is forbidden", () => {
  const scores = Float32Array.of(OUT, 1, OUT, 1, OUT);
  expect([0, 0.4999, 0.5, 1 - 2 ** -53].map((uniform) => sample(scores, uniform))).toEqual([
    1, 1, 3, 3,
  ]);
});

it("keeps one token at least", () => {
  const scores = Float32Array.of(0, 3, 1);
  applyFilters({ temperature: 1, topK: 0, topP: 1e-3 }, scores);
  expect([...scores]).toEqual([OUT, 3, OUT]);
});

it("refuses what is not a number", () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    for (const place of [0, 5, 39]) {
      const scores = new Float32Array(40).fill(1);
      scores[place] = bad;
      for (const use of [argmax, logSoftmax, (s: Float32Array) => sample(s, 0.5)]) {
        expect(() => use(scores.slice())).toThrow(expect.objectContaining({ code: "runtime" }));
      }
    }
  }
  expect(() => argmax(new Float32Array(3).fill(OUT))).toThrow("no token is left");
});

// RepetitionPenaltyLogitsProcessor, NoRepeatNGramLogitsProcessor and ForcedBOSTokenLogitsProcessor get input_ids.
it("counts a prompt of ids as generated, and forces no first token behind it", () => {
  const rules = {
    repetitionPenalty: 2,
    noRepeatNgramSize: 2,
    badWordsIds: [[3, 0]],
    minNewTokens: 0,
    eosTokenIds: [],
    forcedBosTokenId: 1,
    forcedEosTokenId: [],
    maxNewTokens: 9,
    suppressTokens: [],
    beginSuppressTokens: [4],
  };
  const scored = (before: number[], generated: number[]): number[] => {
    const scores = Float32Array.of(1, 2, -1, 4, 5, 6);
    applyRules({ ...rules, before }, generated, scores);
    return [...scores];
  };
  const no = Number.NEGATIVE_INFINITY;
  expect(scored([9, 2, 5, 3], [])).toEqual([no, 2, -2, 2, no, 3]);
  expect(scored([9, 2, 5, 3], [2])).toEqual([1, 2, -2, 2, 5, no]);
});
