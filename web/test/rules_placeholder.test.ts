// Decoders with the rules inside whose input is embeddings: the ids come in their last columns, those of the prompt
// and of the image's places, too. Ids are those of transformers' generate().
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Captioner } from "../src/index.js";
import { readPng } from "./lib/goldens.js";
import { press, pressed, ROOT } from "./lib/program.js";
import { TestServer } from "./lib/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({ "/": pressed("") });
});
afterAll(() => server.stop());

it.each(["llava/siglip", "smolvlm/smolvlm"])("%s says what generate() says", async (name) => {
  const folder = join(ROOT, "tests/goldens", name);
  const golden = JSON.parse(readFileSync(join(folder, "golden.json"), "utf8"));
  const { prompt, variants, image } = golden.rules;
  const [{ options, ids }] = variants;
  expect(Object.keys(options)).toEqual(["repetition_penalty"]);
  const adapter = join(folder, "adapter");
  const inside = `${name.replace("/", "-")}-inside`;
  press(inside, join(folder, "base"), [
    ...(existsSync(adapter) ? ["--adapter", adapter] : []),
    "--rules-in-graph",
    "--set",
    `repetition_penalty=${options.repetition_penalty}`,
  ]);
  const captioner = await Captioner.load(`${server.origin}/${inside}`, { dtype: "fp32" });
  const found = await captioner.caption(readPng(join(folder, "..", image)), {
    prompt,
    rawPrompt: true,
    maxNewTokens: golden.max_new_tokens,
  });
  expect(found.ids).toEqual(ids);
  await captioner.dispose();
});
