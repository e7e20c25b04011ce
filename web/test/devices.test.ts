import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  chooseDtypes,
  chooseThreads,
  type DeviceFacts,
  graphPath,
  inspectDevice,
} from "../src/devices.js";
import { type GenerateOptions, requireRoom, settingsOf } from "../src/generate.js";
import { halvesToFloats } from "../src/half.js";
import { parseManifest } from "../src/manifest.js";
import { ROOT } from "./lib/program.js";

const several = readFileSync(join(ROOT, "tests/hostile/manifests/accepted/several.json"), "utf8");
const facts: DeviceFacts = { device: "wasm", shaderF16: false, threads: 1, memoryGiB: 8 };

/** The sample folder with these dtypes, each graph of so many chunks of 8 MB. */
function folderWith(dtypes: Readonly<Record<string, number>>) {
  const manifest = JSON.parse(several);
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
    expect(() => graphPath(all, "constructor", "encoder")).toThrow("no dtype");
  });

  it("unknown to this version are still taken when there are no others", () => {
    expect(chooseDtypes(folderWith({ fp8: 1 }), "auto", facts).decoder).toBe("fp8");
  });
});

it("finds this machine's device", async () => {
  expect(await inspectDevice("auto", undefined)).toMatchObject({ device: "wasm", threads: 1 });
  await expect(inspectDevice("webgpu", undefined)).rejects.toMatchObject({ code: "unsupported" });
});

describe("generation settings", () => {
  const manifest = parseManifest(several, "here");

  it("come from the folder where nothing is said", () => {
    expect(settingsOf({}, manifest)).toMatchObject({
      maxNewTokens: 30,
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
  ];
  for (const options of bad) {
    it(`refuse ${JSON.stringify(options)}`, () => {
      expect(() => settingsOf(options as GenerateOptions, manifest)).toThrow(
        expect.objectContaining({ code: "invalid_argument" }),
      );
    });
  }

  it("must fit the model", () => {
    expect(() => requireRoom(manifest, [1], 495)).not.toThrow();
    expect(() => requireRoom(manifest, [1], 496)).toThrow("do not fit the model's 512 positions");
    for (const id of [320, -1, 0.5]) {
      expect(() => requireRoom(manifest, [id], 1)).toThrow("the prompt has the token");
    }
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
