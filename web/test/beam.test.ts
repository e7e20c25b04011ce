import { describe, expect, it } from "vitest";
import { BeamSearch, type Hypothesis } from "../src/generation/beam.js";
import { logSoftmax } from "../src/generation/sampling.js";
import { toScores, vectors } from "./lib/generation.js";

interface Table {
  start: number;
  eos_token_ids: number[];
  max_new_tokens: number;
  logits: number[][][];
}

// A model whose logits hang on the step and the last token alone.
function logProbs(table: Table, ids: readonly number[]): Float32Array {
  const scores = toScores(table.logits[ids.length]?.[ids.at(-1) ?? table.start] ?? []);
  logSoftmax(scores);
  return scores;
}

function search(table: Table, options: Record<string, never>, oneFirstRow: boolean): BeamSearch {
  const found = new BeamSearch({
    numBeams: options["num_beams"] as never,
    lengthPenalty: options["length_penalty"] as never,
    earlyStopping: options["early_stopping"] as never,
    maxNewTokens: table.max_new_tokens,
    eosTokenIds: table.eos_token_ids,
  });
  for (let step = 0; !found.done; ++step) {
    const before = found.running;
    const rows = before.map(({ ids }) => logProbs(table, ids));
    found.advance(step === 0 && oneFirstRow ? rows.slice(0, 1) : rows);
    for (const [i, { ids }] of found.running.entries()) {
      const parent = before[found.parents[i] as number] as Hypothesis;
      expect(ids).toEqual([...parent.ids, ids.at(-1)]);
    }
  }
  return found;
}

describe("beam search", () => {
  it("equals transformers on the vectors that the program's tests read", () => {
    let runs = 0;
    for (const table of vectors("beams.json").tables) {
      for (const run of table.runs) {
        for (const oneFirstRow of [true, false]) {
          const found = search(table, run.options, oneFirstRow);
          expect(
            found.finished.map(({ ids }) => ids),
            JSON.stringify(run),
          ).toEqual(run.ids);
          for (const [i, { score }] of found.finished.entries()) {
            expect(Math.abs(score - run.scores[i])).toBeLessThan(1e-4);
          }
        }
        runs += 1;
      }
    }
    expect(runs).toBeGreaterThan(90);
  });
});

it("keeps the best sequence of a model that can be searched whole", () => {
  // Three tokens, the last one ends; with 9 beams nothing is lost in two steps.
  const first = [-0.5, -1.5, -3];
  const second = [
    [-2, -2, -0.1],
    [-0.01, -6, -6],
    [0, 0, 0],
  ];
  const found = new BeamSearch({
    numBeams: 2,
    lengthPenalty: 0,
    earlyStopping: "never",
    maxNewTokens: 2,
    eosTokenIds: [2],
  });
  found.advance([Float32Array.from(first)]);
  expect(found.running.map(({ ids }) => ids)).toEqual([[0], [1]]);
  found.advance(found.running.map(({ ids }) => Float32Array.from(second[ids[0] as number] ?? [])));
  expect(found.done).toBe(true);
  expect(found.finished[0]).toMatchObject({ ids: [0, 2], finished: true });
  expect(found.finished[0]?.score).toBeCloseTo(-0.6, 5);
});
