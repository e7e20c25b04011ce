import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { generationOf } from "../src/generation/generation_settings.js";
import { parseJson } from "../src/loading/json.js";
import { MANIFEST_NAME, type Manifest, parseManifest } from "../src/loading/manifest.js";
import { asVersion1 } from "./lib/folder.js";
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

describe("a folder of version 1", () => {
  const several = asVersion1(JSON.parse(read("accepted/several.json")));
  const manifest = parseManifest(JSON.stringify(several), "here");

  it("has weights beside its graphs, by name, and the caches that its ports are", () => {
    const graphs = manifest.graphs.get("fp32");
    expect(graphs?.get("decoder")).toEqual({
      path: "onnx/decoder_model_merged.onnx",
      externalData: ["onnx/decoder_model_merged.onnx_data"],
      cacheDtype: undefined,
      inPlaceCache: false,
      integerProducts: false,
    });
    expect(graphs?.get("encoder")?.externalData).toEqual([]);
  });

  it("has the dtypes that every such folder preferred", () => {
    const webgpu = ["fp32", "q8"];
    expect(manifest.preferredDtypes).toEqual({ wasm: ["q8", "fp32"], webgpu, webgpu_f16: webgpu });
  });
});

describe("a folder of version 2", () => {
  const several = JSON.parse(read("accepted/several.json"));
  const cached = { cache_dtype: "float16", in_place_cache: true };
  const facts = { external_data: [], integer_products: false };
  const graphFiles: Record<string, unknown> = {
    "onnx/encoder_model.onnx": facts,
    "onnx/encoder_model_quantized.onnx": { external_data: ["config.json"], integer_products: true },
    "onnx/decoder_model_merged.onnx": { ...facts, ...cached },
    "onnx/decoder_model_merged_quantized.onnx": { ...facts, ...cached, in_place_cache: false },
  };
  const preferred: Record<string, unknown> = {
    wasm: ["fp32", "q8"],
    webgpu: [],
    webgpu_f16: ["q8"],
  };
  const parse = (files = graphFiles, dtypes = preferred): Manifest =>
    parseManifest(
      JSON.stringify({
        ...several,
        format_version: 2,
        graph_files: files,
        preferred_dtypes: dtypes,
      }),
      "here",
    );

  it("says what press knows of its graphs", () => {
    const { graphs, preferredDtypes } = parse();
    expect(preferredDtypes).toEqual(preferred);
    expect(graphs.get("fp32")?.get("decoder")).toEqual({
      path: "onnx/decoder_model_merged.onnx",
      externalData: [], // though a file has the name of its weights
      cacheDtype: "float16",
      inPlaceCache: true,
      integerProducts: false,
    });
    expect(graphs.get("q8")?.get("encoder")).toEqual({
      path: "onnx/encoder_model_quantized.onnx",
      externalData: ["config.json"],
      cacheDtype: undefined,
      inPlaceCache: false,
      integerProducts: true,
    });
  });

  const path = "onnx/encoder_model.onnx";
  const badFacts: Record<string, unknown> = {
    "nothing of a graph": undefined,
    "no object": [],
    "no weights": { integer_products: false },
    "weights that are not listed": { ...facts, external_data: ["onnx/other"] },
    "weights outside": { ...facts, external_data: ["../config.json"] },
    "no integer_products": { external_data: [] },
    "integer_products that is no boolean": { ...facts, integer_products: 0 },
    "another cache": { ...facts, ...cached, cache_dtype: "bfloat16" },
    "a cache without its place": { ...facts, cache_dtype: "float32" },
    "a place without its cache": { ...facts, in_place_cache: false },
    "a key that is not known": { ...facts, opset: 17 },
  };
  for (const [what, found] of Object.entries(badFacts)) {
    it(`with ${what} is refused`, () => {
      expect(() => parse({ ...graphFiles, [path]: found })).toThrow(
        expect.objectContaining({ code: "invalid_file", message: expect.stringContaining(path) }),
      );
    });
  }

  for (const [what, found] of Object.entries({
    "a backend too few": { wasm: undefined },
    "a backend that is not known": { cuda: [] },
    "a dtype that is not there": { wasm: ["q4"] },
    "a dtype twice": { wasm: ["q8", "q8"] },
    "no list": { webgpu: "fp32" },
  })) {
    it(`that prefers ${what} is refused`, () => {
      expect(() => parse(graphFiles, { ...preferred, ...found })).toThrow(
        expect.objectContaining({
          code: "invalid_file",
          message: expect.stringMatching(/^here: /),
        }),
      );
    });
  }
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
      '{"__proto__": {"encoder": "onnx/encoder_model.onnx"}, "fp32":',
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
