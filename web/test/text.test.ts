// Folders of decoders alone: prompts, chat templates, rules that see the prompt and streams, ids equal to transformers'
// generate(input_ids).
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Captioner, type LoadOptions, TextGenerator } from "../src/index.js";
import { engines, toOptions } from "./lib/goldens.js";
import { pressed, ROOT } from "./lib/program.js";
import { TestServer } from "./lib/server.js";

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({ "/": pressed("") });
});
afterAll(() => server.stop());

interface Row {
  readonly prompt: string;
  readonly system?: string;
  readonly raw_prompt?: boolean;
  readonly input_ids: number[];
  readonly ids: number[];
  readonly text: string;
  readonly beams: { readonly ids: number[]; readonly score: number };
}

const goldenOf = (name: string) =>
  JSON.parse(readFileSync(join(ROOT, "tests/goldens/text", name, "golden.json"), "utf8"));

const load = (name: string, options: LoadOptions = {}): Promise<TextGenerator> =>
  TextGenerator.load(`${server.origin}/text-${name}`, {
    dtype: "fp32",
    engine: "native",
    ...options,
  });

const asked = ({ system, raw_prompt: rawPrompt }: Row) => ({ system, rawPrompt });

for (const name of ["llama", "qwen2", "gpt2", "opt"]) {
  const golden = goldenOf(name);
  const rows: readonly Row[] = golden.prompts;
  describe(`${name} is equal to transformers`, () => {
    it.each(engines(name === "llama"))("greedy and with beams on %s", async (engine) => {
      const generator = await load(name, { engine });
      for (const row of rows) {
        const found = await generator.generate(row.prompt, asked(row));
        expect(found).toMatchObject({ ids: row.ids, text: row.text });
        const beams = await generator.generate(row.prompt, { ...asked(row), numBeams: 3 });
        expect(beams.ids).toEqual(row.beams.ids);
        expect(beams.score).toBeCloseTo(row.beams.score, 3);
        expect((await generator.generate(row.input_ids)).ids).toEqual(row.ids);
      }
      await generator.dispose();
    });

    it("where rules see the prompt", async () => {
      const generator = await load(name);
      const off = { repetitionPenalty: 1, minNewTokens: 0 };
      for (const { prompt, options, ids } of golden.variants) {
        const row = rows[prompt] as Row;
        const length = "max_length" in options ? {} : { maxNewTokens: golden.max_new_tokens };
        const least = "min_length" in options ? { repetitionPenalty: 1 } : off;
        const end = options.forced_eos_token_id; // a list here
        const given = end === undefined ? options : { ...options, forced_eos_token_id: [end] };
        const settings = { ...least, ...length, ...toOptions(given), ...asked(row) };
        const found = await generator.generate(row.prompt, settings);
        expect(found.ids, JSON.stringify(options)).toEqual(ids);
      }
      await generator.dispose();
    });

    it("in samples", async () => {
      const generator = await load(name);
      const off = { repetitionPenalty: 1, minNewTokens: 0, maxNewTokens: golden.max_new_tokens };
      for (const { prompt, options, seed, ids } of golden.samples) {
        const row = rows[prompt] as Row;
        const settings = { ...off, ...toOptions(options), ...asked(row), seed, doSample: true };
        expect((await generator.generate(row.prompt, settings)).ids).toEqual(ids);
      }
      await generator.dispose();
    });
  });
}

describe("a folder of text alone", () => {
  const [row] = goldenOf("llama").prompts as [Row];

  it("streams the text in pieces", async () => {
    const generator = await load("llama");
    const pieces: string[] = [];
    const stream = generator.stream(row.prompt);
    let step = await stream.next();
    while (step.done !== true) {
      pieces.push(step.value);
      step = await stream.next();
    }
    expect(pieces.length).toBeGreaterThan(2);
    expect(pieces.join("")).toBe(step.value.text);
    expect(step.value.ids).toEqual(row.ids);
    await generator.dispose();
  });

  it("stops where the loop is left, and goes on with the next prompt", async () => {
    const generator = await load("llama");
    for await (const piece of generator.stream(row.prompt)) {
      expect(piece).not.toBe("");
      break;
    }
    expect((await generator.generate(row.prompt)).ids).toEqual(row.ids);
    await generator.dispose();
  });

  it("has no encoder", async () => {
    const generator = await load("llama", { dtype: "auto" });
    expect(generator.info.dtypes).toEqual({ encoder: "", decoder: "q8" });
    expect(generator.info).not.toHaveProperty("imageSize");
    expect((await generator.generate("two")).ids.length).toBeGreaterThan(0);
    await generator.dispose();
    const wrong = load("llama", { dtype: { encoder: "q8" } });
    await expect(wrong).rejects.toMatchObject({ code: "invalid_argument" });
  });

  it("ends its own length where the positions end, and refuses one that is asked for", async () => {
    const generator = await load("llama");
    const prompt = "!".repeat(90); // a token each, behind the first one, of 96 positions
    expect((await generator.generate(prompt, { minNewTokens: 5 })).ids).toHaveLength(5);
    const asked = generator.generate(prompt, { maxNewTokens: 6 });
    await expect(asked).rejects.toThrow("do not fit the model's 96 positions");
    const system = generator.generate("a", { system: "b" });
    await expect(system).rejects.toThrow("chat template");
    await expect(generator.generate([])).rejects.toThrow("no tokens");
    await generator.dispose();
  });

  it("is refused by Captioner, and one that takes images by TextGenerator", async () => {
    const captions = Captioner.load(`${server.origin}/text-llama`);
    await expect(captions).rejects.toThrow("takes no images; TextGenerator runs it");
    const text = TextGenerator.load(`${server.origin}/demo`);
    await expect(text).rejects.toThrow("takes images; Captioner runs it");
  });
});
