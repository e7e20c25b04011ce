import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  chooseDtypes,
  chooseThreads,
  type DeviceFacts,
  graphOf,
  inspectDevice,
} from "../src/devices.js";
import { halvesToFloats } from "../src/engine/half.js";
import {
  fitted,
  type GenerateOptions,
  type Settings,
  settingsOf,
} from "../src/generation/generate_options.js";
import { parseManifest } from "../src/loading/manifest.js";
import { asVersion1 } from "./lib/folder.js";
import { ROOT } from "./lib/program.js";

const several = readFileSync(join(ROOT, "tests/hostile/manifests/accepted/several.json"), "utf8");
const facts: DeviceFacts = {
  device: "wasm",
  engine: "ort",
  shaderF16: false,
  threads: 1,
  memoryGiB: 8,
};

/** The sample folder with these dtypes, each graph of so many chunks of 8 MB. */
function folderWith(dtypes: Readonly<Record<string, number>>) {
  const manifest = asVersion1(JSON.parse(several));
  manifest.graphs = {};
  manifest.default_dtype = Object.keys(dtypes)[0];
  for (const [dtype, chunks] of Object.entries(dtypes)) {
    const path = `onnx/graph_${dtype}.onnx`;
    const sha256 = Array.from({ length: chunks }, () => "0".repeat(64));
    manifest.graphs[dtype] = { encoder: path, decoder: path };
    manifest.files.push({ path, bytes: chunks * 8388608, sha256 });
  }
  return parseManifest(JSON.stringify(manifest), "here");
}

it("threads are for graphs that are worth them", () => {
  const manifest = folderWith({ fp32: 20, q8: 5, q4: 1 });
  const threads = (encoder: string, decoder: string) =>
    chooseThreads(manifest, { encoder, decoder }, { ...facts, threads: 4 });
  expect(threads("fp32", "fp32")).toBe(4);
  expect(threads("q8", "q4")).toBe(4);
  expect(threads("q4", "q8")).toBe(4);
  expect(threads("q4", "q4")).toBe(1);
});

describe("dtypes", () => {
  const all = folderWith({ fp32: 1, fp16: 1, q8: 1, q4: 1 });
  const auto = (some: Partial<DeviceFacts>) =>
    chooseDtypes(all, "auto", { ...facts, ...some }).decoder;

  it("suit the device", () => {
    expect(auto({})).toBe("q8");
    expect(auto({ device: "webgpu" })).toBe("fp32");
    expect(auto({ device: "webgpu", shaderF16: true })).toBe("fp16");
  });

  it("are those that the folder prefers", () => {
    const preferredDtypes = { wasm: ["q4", "q8"], webgpu: ["q8", "fp32"], webgpu_f16: ["q8"] };
    const pick = (some: Partial<DeviceFacts>) =>
      chooseDtypes({ ...all, preferredDtypes }, "auto", { ...facts, ...some }).encoder;
    expect(pick({})).toBe("q4");
    expect(pick({ device: "webgpu" })).toBe("q8");
    expect(pick({ device: "webgpu", shaderF16: true })).toBe("q8");
  });

  it("are the smallest on the own engine, whatever the folder prefers", () => {
    const sizes = folderWith({ q8: 20, fp32: 120, q4f16: 14, q4: 15 });
    const pick = (manifest: typeof sizes, some: Partial<DeviceFacts> = {}) =>
      chooseDtypes(manifest, "auto", { ...facts, engine: "native", ...some });
    expect(pick(sizes)).toEqual({ encoder: "q4f16", decoder: "q4f16" });
    expect(pick(sizes, { engine: "ort" }).decoder).toBe("q8");
    expect(pick(folderWith({ fp32: 9, int8: 5, q8: 5 })).decoder).toBe("q8"); // the preferred one of equal ones
    expect(chooseDtypes(sizes, { encoder: "q8" }, { ...facts, engine: "native" })).toEqual({
      encoder: "q8",
      decoder: "q4f16",
    });
  });

  it("suit the memory", () => {
    const big = folderWith({ fp32: 120, fp16: 60, q4: 15 });
    const pick = (some: Partial<DeviceFacts>) =>
      chooseDtypes(big, "auto", { ...facts, ...some }).encoder;
    expect(pick({ memoryGiB: 8 })).toBe("fp32");
    expect(pick({ memoryGiB: 4 })).toBe("fp16");
    expect(pick({ memoryGiB: 1 })).toBe("q4");
    expect(pick({ memoryGiB: 0.25 })).toBe("q4");
    expect(pick({ memoryGiB: undefined })).toBe("fp32");
  });

  it("can be chosen, one per graph", () => {
    expect(chooseDtypes(all, { encoder: "q8" }, { ...facts, device: "webgpu" })).toEqual({
      encoder: "q8",
      decoder: "fp32",
    });
    expect(chooseDtypes(all, "q4", facts)).toEqual({ encoder: "q4", decoder: "q4" });
    expect(() => chooseDtypes(all, "q3", facts)).toThrow(
      'no dtype "q3" in this folder (there are: fp32, ',
    );
    expect(() => graphOf(all, "constructor", "encoder")).toThrow("no dtype");
  });

  it("unknown to this version are still taken when there are no others", () => {
    expect(chooseDtypes(folderWith({ fp8: 1 }), "auto", facts).decoder).toBe("fp8");
  });
});

it("finds this machine's device, and the engine that suits it", async () => {
  const found = { device: "wasm", threads: 1 };
  expect(await inspectDevice("auto", undefined)).toMatchObject({ ...found, engine: "native" });
  expect(await inspectDevice("wasm", 1, "ort")).toMatchObject({ ...found, engine: "ort" });
  for (const [device, engine] of [
    ["webgpu", "native"],
    ["wasm", "genai"],
  ] as const) {
    await expect(inspectDevice(device, 1, engine as never)).rejects.toMatchObject({
      code: "invalid_argument",
    });
  }
  await expect(inspectDevice("webgpu", undefined)).rejects.toMatchObject({ code: "unsupported" });
});

describe("generation settings", () => {
  const manifest = parseManifest(several, "here");

  it("come from the folder where nothing is said", () => {
    expect(fitted(settingsOf({}, manifest), manifest, [])).toMatchObject({
      maxNewTokens: 30,
      minNewTokens: 0,
      numBeams: 1,
      temperature: 1,
      topK: 0,
      topP: 1,
      eosTokenIds: [2, 319],
    });
  });

  const bad: Record<string, unknown>[] = [
    { numBeams: 0 },
    { numBeams: 1.5 },
    { numBeams: 1e9 },
    { numBeams: "3" },
    { maxNewTokens: 0 },
    { maxNewTokens: Number.NaN },
    { minNewTokens: -1 },
    { doSample: true, temperature: 0 },
    { doSample: true, temperature: -1 },
    { doSample: true, topP: 0 },
    { doSample: true, topP: 1.1 },
    { doSample: true, topK: -1 },
    { doSample: true, seed: -1 },
    { doSample: true, seed: 2 ** 32 },
    { doSample: true, numBeams: 2 },
    { temperature: 0.5 },
    { seed: 1 },
    { repetitionPenalty: 0 },
    { noRepeatNgramSize: -1 },
    { lengthPenalty: Number.POSITIVE_INFINITY },
    { earlyStopping: "always" },
    { suppressTokens: [320] },
    { suppressTokens: 3 },
    { beginSuppressTokens: [0.5] },
    { forcedBosTokenId: 320 },
    { forcedEosTokenId: [-1] },
    { badWordsIds: [[]] },
    { badWordsIds: [1] },
    { badWordsIds: [[320]] },
    { maxLength: 0 },
  ];
  for (const options of bad) {
    it(`refuse ${JSON.stringify(options)}`, () => {
      expect(() => settingsOf(options as GenerateOptions, manifest)).toThrow(
        expect.objectContaining({ code: "invalid_argument" }),
      );
    });
  }

  it("must fit the model", () => {
    const behind = (prompt: number[], options: GenerateOptions): Settings =>
      fitted(settingsOf(options, manifest), manifest, prompt);
    expect(behind([1], { maxNewTokens: 495 }).maxNewTokens).toBe(495);
    expect(() => behind([1], { maxNewTokens: 496 })).toThrow(
      "do not fit the model's 512 positions",
    );
    for (const id of [320, -1, 0.5]) {
      expect(() => behind([id], { maxNewTokens: 1 })).toThrow("the prompt has the token");
    }
    // As generate(inputs_embeds=...): 16 image tokens and the prompt count in both.
    expect(behind([1, 2], { maxLength: 20, minLength: 19 })).toMatchObject({
      maxNewTokens: 2,
      minNewTokens: 1,
    });
    expect(() => behind([1], { maxLength: 17 })).toThrow("leaves no room");
  });
});

describe("a folder's generation settings", () => {
  const folder = {
    ...JSON.parse(several),
    generation: {
      ...JSON.parse(several).generation,
      repetition_penalty: 1.5,
      bad_words_ids: [[2], [2, 3]],
      suppress_tokens: [4],
      num_beams: 3,
      early_stopping: "never",
      min_length: 20,
      max_length: 30,
      forced_eos_token_id: 5,
      do_sample: null,
    },
  };
  const manifest = parseManifest(JSON.stringify(folder), "here");
  const all = (options: GenerateOptions): Settings =>
    fitted(settingsOf(options, manifest), manifest, []);

  it("hold where the options say nothing", () => {
    expect(all({ suppressTokens: undefined })).toMatchObject({
      repetitionPenalty: 1.5,
      badWordsIds: [[2, 3]], // a lone end token is no word
      suppressTokens: [4],
      numBeams: 3,
      earlyStopping: "never",
      minNewTokens: 4,
      maxNewTokens: 14,
      forcedEosTokenId: [5],
      doSample: false,
    });
  });

  it("give way to the options", () => {
    const options = { repetitionPenalty: 1, badWordsIds: [], suppressTokens: [], minNewTokens: 0 };
    expect(all({ ...options, maxNewTokens: 40 })).toMatchObject({ ...options, maxNewTokens: 40 });
    expect(all({ doSample: true, topK: 5 })).toMatchObject({ doSample: true, numBeams: 1 });
    expect(() => all({ topK: 5 })).toThrow("has no effect without doSample");
  });

  it("that sample give way to beams", () => {
    const text = JSON.stringify({
      ...folder,
      generation: { ...folder.generation, num_beams: 1, do_sample: true, top_k: 50 },
    });
    const sampling = parseManifest(text, "here");
    expect(settingsOf({}, sampling)).toMatchObject({ doSample: true, topK: 50 });
    expect(settingsOf({ numBeams: 2 }, sampling)).toMatchObject({ doSample: false, numBeams: 2 });
    expect(settingsOf({ temperature: 0.5 }, sampling)).toMatchObject({ temperature: 0.5 });
  });
});

it("reads half precision", () => {
  const bits = [0x0000, 0x8000, 0x3c00, 0xbc00, 0x7bff, 0x0001, 0x03ff, 0x7c00, 0xfc00, 0x3555];
  const values = [
    0,
    -0,
    1,
    -1,
    65504,
    2 ** -24,
    1023 * 2 ** -24,
    Infinity,
    -Infinity,
    0.333251953125,
  ];
  expect([...halvesToFloats(Uint16Array.from(bits))]).toEqual(values);
  expect(halvesToFloats(Uint16Array.of(0x7e00))[0]).toBeNaN();
});
