// Folders of SmolVLM and Idefics3: images in tiles, ids equal to transformers' generate().
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Captioner } from "../src/index.js";
import { readPng } from "./lib/goldens.js";
import { pressed, ROOT } from "./lib/program.js";
import { TestServer } from "./lib/server.js";

const FOLDER = join(ROOT, "tests/goldens/smolvlm");

let server: TestServer;
beforeAll(async () => {
  const path = join(pressed("smolvlm"), "lorapress.json");
  const manifest = JSON.parse(readFileSync(path, "utf8"));
  // The golden's processor, whatever the program says of it.
  manifest.model.image_token_id = 276;
  manifest.image_splitting = {
    enabled: true,
    longest_edge: 128,
    tile_size: 32,
    resample: "lanczos",
    tokens: {
      image: "<image>",
      around: "<fake_token_around_image>",
      global: "<global-img>",
      tile: "<row_{row}_col_{col}>",
    },
  };
  writeFileSync(path, JSON.stringify(manifest));
  server = await TestServer.start({ "/": pressed("") });
});
afterAll(() => server.stop());

describe("equal to transformers", () => {
  for (const name of ["smolvlm"]) {
    it(name, async () => {
      const golden = JSON.parse(readFileSync(join(FOLDER, name, "golden.json"), "utf8"));
      const captioner = await Captioner.load(`${server.origin}/${name}`, { dtype: "fp32" });
      const { prompt, max_new_tokens: maxNewTokens } = golden;
      expect(golden.captions.length).toBeGreaterThan(2);
      for (const { image, ids, beams } of golden.captions) {
        const source = readPng(join(FOLDER, image));
        const options = { prompt, maxNewTokens, rawPrompt: true };
        expect((await captioner.caption(source, options)).ids, image).toEqual(ids);
        if (beams !== undefined) {
          const found = await captioner.caption(source, { ...options, numBeams: 3 });
          expect(found.ids, image).toEqual(beams);
        }
      }
      await captioner.dispose();
    });
  }
});
