// Folders whose prompt has the image's places: bundle "llava" of checkpoints whose captions PyTorch made.

import { createHash } from "node:crypto";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Captioner, type LoadOptions } from "../src/index.js";
import { engines, type Golden, LLAVA, readGolden, readPng, toOptions } from "./lib/goldens.js";
import { pressed } from "./lib/program.js";
import { TestServer } from "./lib/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({ "/": pressed("") });
});
afterAll(() => server.stop());

const load = (name: string, options: LoadOptions = {}): Promise<Captioner> =>
  Captioner.load(`${server.origin}/${name}`, { engine: "native", ...options });
const imageOf = (golden: Golden, image: number) => readPng(golden.images[image] ?? "");

describe("a llava folder is equal to PyTorch", () => {
  for (const golden of LLAVA.map(readGolden)) {
    it.each(engines(golden.name === "base"))(`${golden.name} on %s`, async (engine) => {
      const captioner = await load(`${golden.name}-llava`, { dtype: "fp32", engine });
      for (const { image, ids, text } of golden.captions) {
        const source = imageOf(golden, image);
        expect(await captioner.caption(source)).toMatchObject({ ids, text });
        let streamed = "";
        for await (const piece of captioner.stream(source)) {
          streamed += piece;
        }
        expect(streamed).toBe(text);
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
      await captioner.dispose();
    });
  }
});

it("captions in half precision, and with a dtype for each part", async () => {
  const golden = readGolden("base");
  for (const dtype of ["fp16", { encoder: "fp32", decoder: "fp16" }]) {
    const captioner = await load("base-llava", { dtype });
    const { image, ids } = golden.captions[0] as Golden["captions"][number];
    expect((await captioner.caption(imageOf(golden, image))).ids).toEqual(ids);
    await captioner.dispose();
  }
});

it("fetches the encoder, the embeddings and the decoder in this order, each once", async () => {
  server.clear();
  const captioner = await load("base-llava", { dtype: "fp32" });
  await captioner.ready;
  const graphs = server.requests.map(({ path }) => path).filter((path) => path.endsWith(".onnx"));
  expect(graphs.map((path) => path.slice(path.lastIndexOf("/") + 1))).toEqual([
    "vision_encoder.onnx",
    "embed_tokens.onnx",
    "decoder_model_merged.onnx",
  ]);
  await captioner.dispose();
});

// Adds a chat template and a prompt, as `press` does for a checkpoint with a template.
function withTemplate(name: string, template: string, prompt: string): void {
  const folder = pressed(name);
  cpSync(pressed("base-llava"), folder, { recursive: true });
  writeFileSync(join(folder, "chat_template.jinja"), template);
  const path = join(folder, "lorapress.json");
  const manifest = JSON.parse(readFileSync(path, "utf8"));
  manifest.prompt = { default: prompt, chat_template: "chat_template.jinja" };
  const bytes = Buffer.byteLength(template);
  const sha256 = [createHash("sha256").update(template).digest("hex")];
  manifest.files.push({ path: "chat_template.jinja", bytes, sha256 });
  writeFileSync(path, JSON.stringify(manifest));
}

it("asks a chat model through its template, and not where rawPrompt is set", async () => {
  const template =
    "{% for m in messages %}{{ m.role[0] }} {% for c in m.content %}" +
    "{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %}{% endfor %}{% endfor %}" +
    "{% if add_generation_prompt %} a{% endif %}";
  withTemplate("base-chat", template, "own");
  const golden = readGolden("base");
  const image = imageOf(golden, 0);
  const captioner = await load("base-chat");
  const plain = await load("base-llava");
  const same = async (options: object, prompt: string): Promise<void> => {
    const { ids } = await captioner.caption(image, options);
    expect(ids).toEqual((await plain.caption(image, { prompt })).ids);
  };
  await same({ prompt: "the cat" }, "u <image>the cat a");
  await same({}, "u <image>own a");
  await same({ prompt: "the cat", system: "x" }, "s xu <image>the cat a");
  await same({ prompt: "the cat", rawPrompt: true }, "<image>the cat");
  await expect(captioner.caption(image, { prompt: "an <image>" })).rejects.toThrow(
    "the prompt has 2 times <image>, expected 1",
  );
  await expect(plain.caption(image, { system: "x" })).rejects.toThrow("needs a chat template");
  await captioner.dispose();
  await plain.dispose();
});

it("refuses a prompt whose places are not as many as the image's positions", async () => {
  const captioner = await load("base-llava");
  const image = imageOf(readGolden("base"), 0);
  await expect(captioner.caption(image, { prompt: [320, 5] })).rejects.toThrow(
    "the prompt has 1 image tokens, the image 16",
  );
  await captioner.dispose();
});
