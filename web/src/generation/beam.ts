// Beam search of one sequence, as transformers 5 does it (GenerationMixin._beam_search), on plain
// log-probabilities: the caller runs the model. The twin of src/runtime/generation/beam.cc.

import type { EarlyStopping } from "./generation_settings.js";

export interface BeamOptions {
  readonly numBeams: number;
  readonly maxNewTokens: number;
  readonly lengthPenalty: number;
  readonly earlyStopping: EarlyStopping;
  readonly eosTokenIds: readonly number[];
}

export interface Hypothesis {
  readonly ids: readonly number[];
  /** Sum of log-probabilities, over length ^ lengthPenalty once finished. */
  readonly score: number;
  readonly finished: boolean;
}

interface Candidate {
  readonly score: number;
  readonly parent: number;
  readonly token: number;
  readonly stops: boolean;
}

// transformers' stand-in for "never": added to a score, it outweighs every sum of log-probabilities.
// As in transformers, scores are float32.
const NEVER = -1e9;

// The `count` highest scores, highest first, the first place first among equal ones.
function highest<Row extends { readonly score: number }>(
  rows: readonly Row[],
  count: number,
): Row[] {
  return [...rows].sort((a, b) => b.score - a.score).slice(0, count);
}

export class BeamSearch {
  private readonly options: BeamOptions;
  private length = 0;
  private canImprove = true;
  private isDone = false;
  private runningBeams: Hypothesis[];
  private finishedBeams: Hypothesis[];
  private continued: number[] = [];

  constructor(options: BeamOptions) {
    this.options = options;
    const never: Hypothesis = { ids: [], score: NEVER, finished: false };
    this.finishedBeams = Array<Hypothesis>(options.numBeams).fill(never);
    this.runningBeams = [...this.finishedBeams];
    this.runningBeams[0] = { ...never, score: 0 }; // the beams are still one
  }

  get done(): boolean {
    return this.isDone;
  }

  /** The beams to run next, best first; the last of ids is the token to feed. */
  get running(): readonly Hypothesis[] {
    return this.runningBeams;
  }

  /** For each running beam, the beam before the last step that it continues. */
  get parents(): readonly number[] {
    return this.continued;
  }

  /** Best first. Once done, the first is the result. */
  get finished(): readonly Hypothesis[] {
    return this.finishedBeams;
  }

  /**
   * One step: a row of log-probabilities, rules applied, per running beam, in their order. In the
   * first step all beams are one, and a single row is enough. REQUIRES: not done.
   */
  advance(logProbs: readonly Float32Array[]): void {
    const candidates = this.bestContinuations(logProbs);
    this.collectFinished(candidates); // before the running ones that they continue are replaced
    this.chooseRunning(candidates);
    this.length += 1;
    this.decideWhetherDone(candidates);
  }

  // Enough candidates that numBeams of them do not end, best first; lower beam and token first among equals.
  private bestContinuations(logProbs: readonly Float32Array[]): Candidate[] {
    const { eosTokenIds, maxNewTokens, numBeams } = this.options;
    const wanted = Math.max(2, 1 + eosTokenIds.length) * numBeams;
    const best: { score: number; parent: number; token: number }[] = [];
    let least = Number.NEGATIVE_INFINITY;
    for (const [parent, row] of logProbs.entries()) {
      const before = (this.runningBeams[parent] as Hypothesis).score;
      for (let token = 0; token < row.length; ++token) {
        const score = Math.fround((row[token] as number) + before);
        if (best.length === wanted && !(score > least)) {
          continue;
        }
        let place = best.length;
        while (place > 0 && (best[place - 1] as Candidate).score < score) {
          place -= 1;
        }
        best.splice(place, 0, { score, parent, token });
        best.length = Math.min(best.length, wanted);
        least = (best[best.length - 1] as Candidate).score;
      }
    }
    const last = this.length + 1 >= maxNewTokens;
    return best.map((row) => ({ ...row, stops: last || eosTokenIds.includes(row.token) }));
  }

  private extended(candidate: Candidate, score: number, finished: boolean): Hypothesis {
    const parent = this.runningBeams[candidate.parent] as Hypothesis;
    return { ids: [...parent.ids, candidate.token], score, finished };
  }

  private isFull(): boolean {
    return this.finishedBeams.every(({ finished }) => finished);
  }

  // Only the numBeams best candidates may finish; the others can only continue.
  private collectFinished(candidates: readonly Candidate[]): void {
    const { numBeams, lengthPenalty, earlyStopping } = this.options;
    const divisor = Math.fround((this.length + 1) ** lengthPenalty);
    const closed = this.isFull() && earlyStopping === true;
    const found = candidates.map((candidate, place) => {
      const finishes = candidate.stops && place < numBeams;
      let score = Math.fround(candidate.score / divisor);
      for (const out of [closed, !this.canImprove, !finishes]) {
        score = Math.fround(score + (out ? NEVER : 0));
      }
      return this.extended(candidate, score, finishes);
    });
    this.finishedBeams = highest([...this.finishedBeams, ...found], numBeams);
  }

  private chooseRunning(candidates: readonly Candidate[]): void {
    const open = candidates.map((candidate) => ({
      ...candidate,
      score: Math.fround(candidate.score + (candidate.stops ? NEVER : 0)),
    }));
    const chosen = highest(open, this.options.numBeams);
    this.continued = chosen.map(({ parent }) => parent);
    this.runningBeams = chosen.map((candidate) => this.extended(candidate, candidate.score, false));
  }

  // Could a running beam still beat the worst finished one? With "never" and a positive penalty, at
  // the greatest length; otherwise estimated at the present length.
  private decideWhetherDone(candidates: readonly Candidate[]): void {
    const { earlyStopping, lengthPenalty, maxNewTokens } = this.options;
    const atTheEnd = earlyStopping === "never" && lengthPenalty > 0;
    const length = atTheEnd ? maxNewTokens : this.length;
    const best = (this.runningBeams[0] as Hypothesis).score;
    const possible = Math.fround(best / Math.fround(length ** lengthPenalty));
    const worst = Math.min(...this.finishedBeams.map(({ score }) => score));
    const bar = this.isFull() ? worst : Math.min(worst, NEVER);
    this.canImprove &&= possible > bar;
    this.isDone =
      !this.canImprove ||
      (earlyStopping === true && this.isFull()) ||
      candidates.every(({ stops }) => stops);
  }
}
