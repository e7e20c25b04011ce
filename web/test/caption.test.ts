// Whole captions: folders that the program pressed, on both engines' WebAssembly in Node, against what PyTorch and
// transformers made of the same checkpoints.
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { NativeEngine } from "../src/engine/native_engine.js";
import { HeapFile } from "../src/engine/ort_heap_file.js";
import { Captioner, type LoadOptions } from "../src/index.js";
import { asVersion1 } from "./lib/folder.js";
import { allGoldens, engines, type Golden, readPng, toOptions } from "./lib/goldens.js";
import { pressed, ROOT } from "./lib/program.js";
import { TestServer } from "./lib/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({ "/": pressed("") });
});
afterAll(() => server.stop());

const load = (name: string, options: LoadOptions = {}): Promise<Captioner> =>
  Captioner.load(`${server.origin}/${name}`, { engine: "native", ...options });

const imageOf = (golden: Golden, image: number) => readPng(golden.images[image] ?? "");

describe("equal to PyTorch", () => {
  const cases = allGoldens().flatMap((golden) =>
    engines(["base", "odd"].includes(golden.name)).map((engine) => ({ golden, engine })),
  );
  for (const { golden, engine } of cases) {
    it(`${golden.name} on ${engine}`, async () => {
      const captioner = await load(golden.name, { engine });
      for (const { image, ids, text } of golden.captions) {
        const caption = await captioner.caption(imageOf(golden, image));
        expect(caption).toMatchObject({ ids, text });
      }
      const { image, prompt_ids, ids } = golden.prompt;
      const prompted = await captioner.caption(imageOf(golden, image), { prompt: prompt_ids });
      expect(prompted.ids).toEqual(ids);
      for (const { options, results } of golden.beams) {
        for (const result of results) {
          const beams = await captioner.caption(imageOf(golden, result.image), toOptions(options));
          expect(beams.ids, JSON.stringify(options)).toEqual(result.ids[0]);
          expect(beams.score).toBeCloseTo(result.scores[0] ?? 0, 3);
        }
      }
      for (const variant of golden.variants) {
        const image = imageOf(golden, variant.image);
        const caption = await captioner.caption(image, toOptions(variant.options));
        expect(caption.ids, JSON.stringify(variant.options)).toEqual(variant.ids);
      }
      await captioner.dispose();
    });
  }
});

describe("the demo model", () => {
  const folder = join(ROOT, "models/demo/images");
  const captions: Record<string, string> = JSON.parse(
    readFileSync(join(folder, "captions.json"), "utf8"),
  );
  for (const [name, engine] of [
    ["demo", "native"],
    ["demo-external", "native"],
    ["demo-external", "ort"],
  ] as const) {
    it(`${name} on ${engine} says what it said in PyTorch`, async () => {
      const captioner = await load(name, { engine });
      for (const [file, text] of Object.entries(captions).filter(([file]) =>
        file.endsWith(".png"),
      )) {
        const image = readPng(join(folder, file));
        expect((await captioner.caption(image)).text, file).toBe(text);
        expect((await captioner.caption(image, { numBeams: 3 })).text, file).toBe(text);
      }
      await captioner.dispose();
    });
  }

  const { "scene-10000002.png": text } = captions;
  const image = readPng(join(folder, "scene-10000002.png"));
  it("says the same in a folder of version 1, whose weights are found by name", async () => {
    const folder = pressed("demo-external");
    const manifest = JSON.parse(readFileSync(join(folder, "lorapress.json"), "utf8"));
    const old = asVersion1(manifest);
    cpSync(folder, pressed("demo-version-1"), { recursive: true });
    writeFileSync(join(pressed("demo-version-1"), "lorapress.json"), JSON.stringify(old));
    const captioner = await load("demo-version-1");
    expect((await captioner.caption(image)).text).toBe(text);
    await captioner.dispose();
  });

  it("loads a graph once more whose weight is wanted again after it was freed", async () => {
    const subarray = vi.spyOn(HeapFile.prototype, "subarray");
    subarray.mockImplementationOnce(function (this: HeapFile) {
      this.missed = true;
      throw new RangeError("no weight");
    });
    server.clear();
    const captioner = await load("demo-external", { engine: "ort" });
    expect((await captioner.caption(image)).text).toBe(text);
    expect(subarray.mock.results[0]?.type).toBe("throw");
    const paths = server.requests.map(({ path }) => path);
    expect(new Set(paths).size).toBe(paths.length); // the bytes were still there
    subarray.mockRestore();
    await captioner.dispose();
  });

  it("encodes while the decoder is still on its way", async () => {
    const encode = vi.spyOn(NativeEngine.prototype, "encode");
    const encoded = vi.waitUntil(() => encode.mock.settledResults.length > 0, { timeout: 60_000 });
    server.options = {
      fault: ({ path }) => (path.includes("decoder") ? { wait: encoded } : undefined),
    };
    const captioner = await load("demo");
    expect((await captioner.caption(image)).text).toBe(text);
    expect(encode.mock.settledResults.map(({ type }) => type)).toEqual(["fulfilled"]);
    server.options = {};
    encode.mockRestore();
    await captioner.dispose();
  });

  for (const dtype of ["fp16", "q8", { encoder: "q8", decoder: "fp16" }, "auto"]) {
    it(`says the same in ${JSON.stringify(dtype)}`, async () => {
      const captioner = await load("demo-dtypes", { dtype });
      expect((await captioner.caption(image)).text).toBe(text);
      expect((await captioner.caption(image, { numBeams: 3 })).text).toBe(text);
      expect(captioner.info.available).toEqual(["fp16", "fp32", "q8"]);
      if (dtype === "auto") {
        expect(captioner.info.dtypes).toEqual({ encoder: "q8", decoder: "q8" });
      }
      await captioner.dispose();
    });
  }
});
