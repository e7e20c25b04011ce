import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { generationOf } from "../src/generation/generation_settings.js";
import { parseJson } from "../src/loading/json.js";
import { MANIFEST_NAME, parseManifest } from "../src/loading/manifest.js";
import { pressed, ROOT } from "./lib/program.js";

const HOSTILE = join(ROOT, "tests/hostile/manifests");
const read = (name: string): string => readFileSync(join(HOSTILE, name), "utf8");

describe("the program's hostile manifests", () => {
  const rows = read("index.tsv")
    .trimEnd()
    .split("\n")
    .map((line) => line.split("\t") as [string, string, string]);

  it("are all here", () => {
    const files = readdirSync(HOSTILE).filter((name) => name.endsWith(".json"));
    expect(rows.map(([name]) => name).sort()).toEqual(files.sort());
    expect(rows.length).toBeGreaterThan(50);
  });

  for (const [name, code, why] of rows) {
    it(`${name}: ${why}`, () => {
      expect(() => generationOf(parseManifest(read(name), "here"))).toThrow(
        expect.objectContaining({
          name: "LorapressError",
          code,
          message: expect.stringMatching(/^here: .+$/),
        }),
      );
    });
  }

  for (const name of readdirSync(join(HOSTILE, "accepted"))) {
    it(`accepted/${name} is read`, () => {
      const manifest = parseManifest(read(`accepted/${name}`), "here");
      expect(manifest.vocabSize).toBe(320);
      expect(generationOf(manifest).topK).toBe(name === "generation.json" ? 50 : undefined);
    });
  }
});

it("finds the weights beside a graph", () => {
  const manifest = parseManifest(read("accepted/several.json"), "here");
  const graphs = manifest.graphs.get("fp32");
  expect(graphs?.get("decoder")?.externalData).toEqual(["onnx/decoder_model_merged.onnx_data"]);
  expect(graphs?.get("encoder")?.externalData).toEqual([]);
});

it("bounds the lists of generation settings", () => {
  const manifest = JSON.parse(read("accepted/generation.json"));
  const most = 2 ** 18;
  const parsed = (settings: Record<string, unknown>): unknown => {
    const generation = { ...manifest.generation, ...settings };
    return generationOf(parseManifest(JSON.stringify({ ...manifest, generation }), "here"));
  };
  expect(() => parsed({ suppress_tokens: Array(most).fill(1) })).not.toThrow();
  for (const settings of [
    { suppress_tokens: Array(most + 1).fill(1) },
    { bad_words_ids: Array(most + 1).fill([1]) },
    { bad_words_ids: Array(most / 2 + 1).fill([1, 2]) },
  ]) {
    expect(() => parsed(settings)).toThrow(`${most}`);
  }
});

it("reads what the program writes", () => {
  const text = readFileSync(join(pressed("demo"), MANIFEST_NAME), "utf8");
  const manifest = parseManifest(text, MANIFEST_NAME);
  expect(manifest).toMatchObject({
    bundle: "transformers.js",
    imageTokens: 64,
    numHiddenLayers: 4,
    numKeyValueHeads: 2,
    headDim: 32,
    preprocessing: { width: 64, height: 64, resample: "bicubic", imageMean: [0.5, 0.5, 0.5] },
  });
  expect([...manifest.graphs.keys()]).toEqual(["fp32"]);
});

describe("JSON", () => {
  it("takes keys that objects have by themselves as data", () => {
    const json = JSON.parse(read("accepted/one_dtype.json"));
    const text = JSON.stringify(json).replace(
      '{"fp32":',
      '{"__proto__": {"encoder": "config.json"}, "fp32":',
    );
    const { graphs } = parseManifest(text, "here");
    expect([...graphs.keys()].sort()).toEqual(["__proto__", "fp32"]);
    expect(graphs.get("constructor")).toBeUndefined();
  });

  it("sees equal keys however they are spelt, and only in one object", () => {
    expect(() => parseJson('{"a": 1, "\\u0061": 2}', "here")).toThrow("stands twice");
    expect(parseJson('[{"a": {"a": "}"}}, {"a": "\\"a\\":"}]', "here")).toEqual([
      { a: { a: "}" } },
      { a: '"a":' },
    ]);
  });
});
