// The loops of generation: greedy, sampling, and beams that run as one batch after one prefill.
import type { EncodedImage, Engine, Logits, Sequences } from "../engine/engine_api.js";
import { fail } from "../errors.js";
import { BeamSearch, type Hypothesis } from "./beam.js";
import type { Settings } from "./generate_options.js";
import { applyFilters, applyRules, argmax, logSoftmax, RandomNumbers, sample } from "./sampling.js";

export interface Generated {
  /** New tokens, the closing end-of-text included. */
  readonly ids: readonly number[];
  /** Of beams: log-probability over length ^ lengthPenalty. */
  readonly score: number | undefined;
  readonly prefillMs: number;
  readonly decodeMs: number;
}

/**
 * `ids`: the start token and the prompt. `onToken` is called with every new token but an end token; not with
 * beams, since they may change.
 */
export async function generate(
  engine: Engine,
  image: EncodedImage | undefined,
  ids: readonly number[],
  settings: Settings,
  signal: AbortSignal,
  onToken: (id: number) => void,
): Promise<Generated> {
  const start = performance.now();
  const [sequences, logits] = await engine.prefill(image, ids, settings.maxNewTokens);
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

// An engine's calls may take no turn of the event loop, from which an abort comes.
const TURN_MS = 50;

function turnOfTheLoop(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel(); // a timer would wait
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

// The sequences of one caption: always released, not advanced once aborted.
class Run {
  private readonly engine: Engine;
  private readonly signal: AbortSignal;
  private sequences: Sequences | undefined;
  private turned: number = performance.now();

  constructor(engine: Engine, sequences: Sequences, signal: AbortSignal) {
    this.engine = engine;
    this.sequences = sequences;
    this.signal = signal;
  }

  async step(parents: readonly number[], tokens: readonly number[]): Promise<Logits> {
    if (performance.now() - this.turned > TURN_MS) {
      await turnOfTheLoop();
      this.turned = performance.now();
    }
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
    const [running, finished] = [search.running[0] as Hypothesis, search.finished[0] as Hypothesis];
    if (running.score === Number.NEGATIVE_INFINITY && !finished.finished) {
      fail("runtime", "no token is left to choose: the rules forbid every token");
    }
    if (search.done) {
      return { ids: finished.ids, score: finished.score };
    }
    const tokens = search.running.map(({ ids }) => ids.at(-1) as number);
    logits = await run.step(search.parents, tokens);
  }
}
