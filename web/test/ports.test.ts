import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import {
  cachePorts,
  crossCachePorts,
  PORTS,
  requireCache,
  requireNames,
} from "../src/engine/ports.js";
import { ROOT } from "./lib/program.js";

it("calls the graphs' ports what the program calls them", () => {
  const { cache, cross_cache, ...ports } = JSON.parse(
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
  const { own, states } = crossCachePorts(12);
  expect(own.past.length + states.past.length).toBe(48);
  expect(cross_cache.length).toBe(2);
  for (const row of cross_cache) {
    for (const [name, found] of [
      ["past_decoder", own.past],
      ["present_decoder", own.present],
      ["past_encoder", states.past],
      ["present_encoder", states.present],
    ] as const) {
      const names = [row[`${name}_key`], row[`${name}_value`]];
      expect(found.slice(2 * row.layer, 2 * row.layer + 2)).toEqual(names);
    }
  }
});

const SHAPE = {
  imageSize: [4, 4],
  vocabSize: 8,
  numHiddenLayers: 1,
  numKeyValueHeads: 2,
  headDim: 16,
} as const;
const port = (type: string, ...dims: (number | string)[]) => ({
  name: "past_key_values.0.key",
  type,
  dims: ["batch_size", ...dims],
});

it("takes the cache's type from its port and compares it with what lorapress.json says", () => {
  const half = port("float16", 2, "past_sequence_length", 16);
  expect(requireCache(half, SHAPE, undefined)).toBe("float16"); // version 1
  expect(requireCache(half, SHAPE, "float16")).toBe("float16");
  for (const [bad, wanted, code] of [
    [half, "float32", "mismatch"],
    [port("float16", 3, "past_sequence_length", 16), undefined, "mismatch"],
    [port("float16", 2, "past_sequence_length", 8), "float16", "mismatch"],
    [port("other", 2, "past_sequence_length", 16), undefined, "unsupported"],
  ] as const) {
    expect(() => requireCache(bad, SHAPE, wanted)).toThrow(expect.objectContaining({ code }));
  }
});

it("names a port that is missing", () => {
  const ports = (names: readonly string[]) => names.map((name) => ({ ...port("float32"), name }));
  const { past, present } = cachePorts(1);
  const graph = {
    inputs: ports([...PORTS.decoder.inputs, ...past]),
    outputs: ports([...PORTS.decoder.outputs, ...present]),
  };
  requireNames(graph, "decoder", PORTS.decoder, cachePorts(1));
  const missing = "the decoder has no past_key_values.1.key";
  expect(() => requireNames(graph, "decoder", PORTS.decoder, cachePorts(2))).toThrow(missing);
  expect(() => requireNames(graph, "encoder", PORTS.encoder)).toThrow(
    "the encoder has no pixel_values",
  );
});
