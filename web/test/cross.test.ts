// Folders whose decoder attends to the image: ids equal to transformers' generate(), greedy, with beams, behind a
// prompt and by rules that see the start token.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Captioner, type LoadOptions } from "../src/index.js";
import { CROSS, engines, type Golden, readCross, readPng, toOptions } from "./lib/goldens.js";
import { pressed } from "./lib/program.js";
import { TestServer } from "./lib/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({ "/": pressed("") });
});
afterAll(() => server.stop());

const load = (name: string, options: LoadOptions = {}): Promise<Captioner> =>
  Captioner.load(`${server.origin}/${name}-cross`, { engine: "native", ...options });
const imageOf = (golden: Golden, image: number) => readPng(golden.images[image] ?? "");

describe("equal to transformers", () => {
  for (const golden of CROSS.map(readCross)) {
    it.each(engines(golden.name === "vitgpt2"))(`${golden.name} on %s`, async (engine) => {
      const captioner = await load(golden.name, { dtype: "fp32", engine });
      for (const { image, ids, text } of golden.captions) {
        const source = imageOf(golden, image);
        expect(await captioner.caption(source)).toMatchObject({ ids, text });
        let streamed = "";
        for await (const piece of captioner.stream(source)) {
          streamed += piece;
        }
        expect(streamed).toBe(text);
      }
      const { image, prompt_ids, prompt_text, ids } = golden.prompt;
      for (const prompt of [prompt_ids, prompt_text]) {
        const prompted = await captioner.caption(imageOf(golden, image), { prompt });
        expect(prompted.ids, String(prompt)).toEqual(ids);
      }
      for (const { options, results } of golden.beams) {
        for (const result of results) {
          const beams = await captioner.caption(imageOf(golden, result.image), toOptions(options));
          expect(beams.ids, JSON.stringify(options)).toEqual(result.ids[0]);
          expect(beams.score).toBeCloseTo(result.scores[0] ?? 0, 3);
        }
      }
      await captioner.dispose();
    });

    it(`${golden.name}: rules see the start token and the prompt`, async () => {
      const captioner = await load(golden.name, { dtype: "fp32" });
      expect(golden.variants.length).toBeGreaterThan(4);
      for (const { options, image, ids, prompt_ids } of golden.variants) {
        const prompt = prompt_ids === undefined ? {} : { prompt: prompt_ids };
        const asked = { ...toOptions(options), ...prompt };
        const found = await captioner.caption(imageOf(golden, image), asked);
        expect(found.ids, JSON.stringify(options)).toEqual(ids);
      }
      await captioner.dispose();
    });
  }
});

it("captions in half precision, and with a dtype for each part", async () => {
  const golden = readCross("vitgpt2");
  for (const dtype of ["fp16", { encoder: "fp32", decoder: "fp16" }]) {
    const captioner = await load("vitgpt2", { dtype });
    const { image, ids } = golden.captions[0] as Golden["captions"][number];
    const found = await captioner.caption(imageOf(golden, image), { maxNewTokens: 6 });
    expect(found.ids).toEqual(ids.slice(0, 6));
    await captioner.dispose();
  }
});

it("fetches the encoder before the decoder, each once, and captions several images with one session", async () => {
  server.clear();
  const golden = readCross("blip");
  const captioner = await load("blip", { dtype: "fp32" });
  const found = await Promise.all(
    golden.captions.map(({ image }) => captioner.caption(imageOf(golden, image))),
  );
  expect(found.map(({ ids }) => ids)).toEqual(golden.captions.map(({ ids }) => ids));
  const graphs = server.requests.map(({ path }) => path).filter((path) => path.endsWith(".onnx"));
  expect(graphs.map((path) => path.slice(path.lastIndexOf("/") + 1))).toEqual([
    "encoder_model.onnx",
    "decoder_model_merged.onnx",
  ]);
  await captioner.dispose();
});

it("refuses what does not fit behind the start token, and messages of chat models", async () => {
  const captioner = await load("vitgpt2");
  const image = imageOf(readCross("vitgpt2"), 0);
  await expect(captioner.caption(image, { prompt: [5, 6], maxNewTokens: 62 })).rejects.toThrow(
    "a start token, 2 prompt tokens and 62 new tokens do not fit the model's 64 positions",
  );
  await expect(captioner.caption(image, { system: "x" })).rejects.toThrow("chat models");
  await captioner.dispose();
});
