import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { cachePorts, PORTS } from "../src/engine/ports.js";
import { ROOT } from "./lib/program.js";

it("calls the graphs' ports what the program calls them", () => {
  const { cache, ...ports } = JSON.parse(
    readFileSync(join(ROOT, "tests/goldens/ports.json"), "utf8"),
  );
  expect(PORTS).toEqual(ports);
  const { past, present } = cachePorts(12);
  expect(past.length).toBe(24);
  expect(cache.length).toBeGreaterThan(1);
  for (const { layer, past_key, past_value, present_key, present_value } of cache) {
    expect(past.slice(2 * layer, 2 * layer + 2)).toEqual([past_key, past_value]);
    expect(present.slice(2 * layer, 2 * layer + 2)).toEqual([present_key, present_value]);
  }
});
