// Folders of real LLaVA, SmolVLM and Idefics3 checkpoints: tiles, prompts, chat templates and rules, ids equal to
// transformers' generate().
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EngineName } from "../src/engine/engine_api.js";
import { Captioner } from "../src/index.js";
import { engines, REAL_PLACEHOLDERS, readPng, toOptions } from "./lib/goldens.js";
import { pressed, ROOT } from "./lib/program.js";
import { TestServer } from "./lib/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({ "/": pressed("") });
});
afterAll(() => server.stop());

describe("equal to transformers", () => {
  for (const name of REAL_PLACEHOLDERS) {
    const folder = join(ROOT, "tests/goldens", name);
    const golden = JSON.parse(readFileSync(join(folder, "golden.json"), "utf8"));
    const source = ({ image }: { image: string }) => readPng(join(folder, "..", image));
    const maxNewTokens: number = golden.max_new_tokens;
    const opened = (engine: EngineName = "native"): Promise<Captioner> =>
      Captioner.load(`${server.origin}/${name.replace("/", "-")}`, { dtype: "fp32", engine });

    it.each(engines(name === "smolvlm/smolvlm"))(`${name} on %s`, async (engine) => {
      const captioner = await opened(engine);
      const { placed, captions, prompt } = golden;
      expect(captions.length).toBeGreaterThan(2);
      for (const row of captions) {
        const options = { prompt, maxNewTokens, rawPrompt: true };
        expect((await captioner.caption(source(row), options)).ids, row.image).toEqual(row.ids);
        const found = await captioner.caption(source(row), { ...options, numBeams: 3 });
        expect(found.ids, row.image).toEqual(row.beams);
      }
      const options = { prompt: placed.prompt, maxNewTokens, rawPrompt: true };
      expect((await captioner.caption(source(placed), options)).ids).toEqual(placed.ids);
      for (const { system, prompt, ids, ...row } of golden.chat) {
        const found = await captioner.caption(source(row), { system, prompt, maxNewTokens });
        expect(found.ids, prompt).toEqual(ids);
      }
      await captioner.dispose();
    });

    it(`${name}: rules see the prompt`, async () => {
      const captioner = await opened();
      const { prompt, variants, ...row } = golden.rules;
      for (const { options, ids } of variants) {
        const length = "max_length" in options ? {} : { maxNewTokens };
        const asked = { prompt, rawPrompt: true, ...length, ...toOptions(options) };
        const found = await captioner.caption(source(row), asked);
        expect(found.ids, JSON.stringify(options)).toEqual(ids);
      }
      await captioner.dispose();
    });
  }
});
