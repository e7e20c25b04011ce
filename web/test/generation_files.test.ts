// Checkpoints with a generation_config.json, pressed: captions without options are those of
// transformers' generate() with the same file. The program's tests read the same vectors; here every
// third file, for time's sake.
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Captioner } from "../src/index.js";
import { vectors } from "./lib/generation.js";
import { readGolden, readPng } from "./lib/goldens.js";
import { press, pressed } from "./lib/program.js";
import { TestServer } from "./lib/server.js";

const STRIDE = 3;

let server: TestServer;
let scratch: string;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "lorapress-files-"));
  server = await TestServer.start({ "/": pressed("") });
});
afterAll(async () => {
  rmSync(scratch, { recursive: true, force: true });
  await server.stop();
});

async function captionerOf(golden: string, name: string, file: unknown): Promise<Captioner> {
  const checkpoint = join(scratch, name);
  cpSync(readGolden(golden).checkpoint, checkpoint, { recursive: true });
  writeFileSync(join(checkpoint, "generation_config.json"), JSON.stringify(file));
  press(name, checkpoint);
  return await Captioner.load(`${server.origin}/${name}`);
}

for (const { checkpoint, searches, samples } of vectors("files.json").checkpoints) {
  const images = readGolden(checkpoint).images.map(readPng);
  const chosen = searches.filter((_: unknown, i: number) => i % STRIDE === 0);

  for (const [i, { file, captions, seed }] of [...chosen, ...samples].entries()) {
    it(`${checkpoint}: ${JSON.stringify(file)}`, async () => {
      const captioner = await captionerOf(checkpoint, `${checkpoint}-file-${i}`, file);
      expect(captions.length).toBeGreaterThan(0);
      for (const { image, ids, score } of captions) {
        const options = seed === undefined ? {} : { seed };
        const caption = await captioner.caption(images[image] as never, options);
        expect(caption.ids).toEqual(ids);
        if (score !== undefined) {
          expect(caption.score).toBeCloseTo(score, 3);
        }
      }
      await captioner.dispose();
    });
  }
}
