import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { splitImage, tilesPrompt } from "../src/image/tiles.js";
import { difference, readPng } from "./lib/goldens.js";
import { ROOT } from "./lib/program.js";

const FOLDER = join(ROOT, "tests/goldens/tiles");
const golden = JSON.parse(readFileSync(join(FOLDER, "tiles.json"), "utf8"));

for (const given of golden.cases) {
  const { image, enabled, longest_edge, count, rows, cols, prompt } = given;
  it(`${given.tiles} is cut as the processor of SmolVLM cuts it`, () => {
    const tileSize: number = golden.tile_size;
    const { tokens } = golden;
    const splitting = {
      enabled,
      longestEdge: longest_edge,
      tileSize,
      resample: "lanczos",
      tokens,
    } as const;
    const found = splitImage(readPng(join(FOLDER, image)), splitting);
    expect(found).toMatchObject({ rows, columns: cols });
    expect(found.tiles.length).toBe(count);
    const data = new Uint8Array(count * tileSize * tileSize * 3);
    for (const [i, tile] of found.tiles.entries()) {
      data.set(tile.data, i * tile.data.length);
    }
    const strip = { width: tileSize, height: count * tileSize, data };
    expect(difference(strip, readPng(join(FOLDER, given.tiles)))).toBe(0);
    expect(tilesPrompt(found, golden.image_tokens, splitting)).toBe(prompt);
  });
}
