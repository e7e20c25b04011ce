// Random numbers of tests: others in each run; a test that fails prints the seed, and LORAPRESS_SEED repeats them.
import { onTestFailed } from "vitest";
import { RandomNumbers } from "../../src/generation/sampling.js";

/** For the test that runs: integers from 0 to `limit` - 1. */
export function randomIntegers(): (limit: number) => number {
  const seed = Number(process.env["LORAPRESS_SEED"] ?? Date.now() % 2 ** 32);
  const numbers = new RandomNumbers(seed);
  onTestFailed(() => console.error(`LORAPRESS_SEED=${seed} repeats this test's random numbers`));
  return (limit) => Math.floor(numbers.next() * limit);
}
