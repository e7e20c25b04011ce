// tests/goldens/generation: vectors that the program's tests read, too (tests/oracle/make_generation.py).
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./program.js";

const FOLDER = join(ROOT, "tests/goldens/generation");

// biome-ignore lint/suspicious/noExplicitAny: free-form goldens
export function vectors(name: string): any {
  return JSON.parse(readFileSync(join(FOLDER, name), "utf8"));
}

/** null is minus infinity. */
export function toScores(row: readonly (number | null)[]): Float32Array {
  return Float32Array.from(row, (score) => score ?? Number.NEGATIVE_INFINITY);
}
