// Searches and samples on whole models, as transformers' generate() gave them; the program's tests
// read the same vectors. Here every fifth search, for time's sake.
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Captioner } from "../src/index.js";
import { vectors } from "./lib/generation.js";
import { readGolden, readPng, toOptions } from "./lib/goldens.js";
import { pressed } from "./lib/program.js";
import { TestServer } from "./lib/server.js";

const STRIDE = 5;

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({ "/": pressed("") });
});
afterAll(() => server.stop());

// Random weights seldom stop by themselves, so the vectors were made with other end tokens.
function withEndTokens(name: string, ids: readonly number[]): string {
  const folder = `${name}-ends`;
  cpSync(pressed(name), pressed(folder), { recursive: true });
  const path = join(pressed(folder), "lorapress.json");
  const manifest = JSON.parse(readFileSync(path, "utf8"));
  manifest.generation.eos_token_id = ids;
  writeFileSync(path, JSON.stringify(manifest));
  return folder;
}

for (const part of vectors("searches.json").checkpoints) {
  it(part.checkpoint, async () => {
    const images = readGolden(part.checkpoint).images.map(readPng);
    const folder = withEndTokens(part.checkpoint, part.eos_token_ids);
    const captioner = await Captioner.load(`${server.origin}/${folder}`);
    const standard = { maxNewTokens: part.max_new_tokens };
    const searches = part.searches.filter((_: unknown, i: number) => i % STRIDE === 0);
    expect(searches.length).toBeGreaterThan(15);
    for (const { image, options, ids, score } of searches) {
      const settings = { ...standard, ...toOptions(options) };
      const caption = await captioner.caption(images[image] as never, settings);
      const what = JSON.stringify([image, options]);
      expect(caption.ids, what).toEqual(ids);
      if (score === undefined) {
        expect(caption.score).toBeUndefined(); // one beam
      } else {
        expect(caption.score, what).toBeCloseTo(score, 3);
      }
    }
    expect(part.samples.length).toBeGreaterThan(5);
    for (const { image, options, seed, ids } of part.samples) {
      const settings = { ...standard, ...toOptions(options), doSample: true, seed };
      const caption = await captioner.caption(images[image] as never, settings);
      expect(caption.ids, JSON.stringify([image, seed, options])).toEqual(ids);
    }
    await captioner.dispose();
  });
}
