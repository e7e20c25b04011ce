// What Chromium makes of image files against what Pillow makes of them.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launch, serve, Tab } from "./lib/browser.js";
import { difference, readPng } from "./lib/goldens.js";
import { ROOT } from "./lib/program.js";
import type { TestServer } from "./lib/server.js";

const IMAGES = join(ROOT, "tests/goldens/images");
const { images } = JSON.parse(readFileSync(join(IMAGES, "images.json"), "utf8"));

let browser: Browser;
let server: TestServer;
let tab: Tab;
beforeAll(async () => {
  browser = await launch();
  server = await serve();
  tab = await Tab.open(browser, server);
});
afterAll(async () => {
  await browser.close();
  await server.stop();
});

async function decoded(file: string) {
  const { width, height, data } = await tab.page.evaluate(async (address) => {
    const blob = await (await fetch(address)).blob();
    const picture = await internals.toPicture(blob, new AbortController().signal);
    const pixels = await internals.toPixels(picture);
    return { ...pixels, data: [...pixels.data] };
  }, `/goldens/images/${file}`);
  return { width, height, data: Uint8Array.from(data) };
}

// Pillow clips 16 bits of gray to 8 where browsers divide (and Pillow divides 16 bits of colour). Of a
// GIF, browsers clear what is transparent or outside the first frame, where Pillow has colours of the
// palette, and know neither a table of grays that counts as none nor a GIF without one. They take
// masks of zeros for no colours, and run lengths that skip pixels leave those clear.
const OTHERWISE = [
  "png_gray16.png",
  "gif_local_gray.gif",
  "gif_no_table.gif",
  "gif_transparent.gif",
  "gif_part.gif",
  "gif_part_transparent.gif",
  "gif_part_local.gif",
  "gif_larger_than_screen.gif",
  "bmp_32_masks7.bmp",
  "bmp_rle4.bmp",
];

describe("files are decoded as Pillow does, to one level", () => {
  for (const { file, decoded: expected } of images) {
    it(file, async () => {
      if (file.endsWith(".tif")) {
        await expect(decoded(file)).rejects.toThrow("this browser decodes no TIFF images");
        return;
      }
      const off = difference(await decoded(file), readPng(join(IMAGES, expected)));
      if (OTHERWISE.includes(file)) {
        expect(off).toBeGreaterThan(1);
      } else {
        expect(off).toBeLessThanOrEqual(1);
      }
    });
  }
});
