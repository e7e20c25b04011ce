import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  MAX_IMAGE_PIXELS,
  normalise,
  type Pixels,
  preprocess,
  resize,
} from "../src/image/image.js";
import type { Preprocessing, Resample } from "../src/loading/manifest.js";
import { difference, readPng, readTensor } from "./lib/goldens.js";
import { ROOT } from "./lib/program.js";

const IMAGES = join(ROOT, "tests/goldens/images");
const goldens = JSON.parse(readFileSync(join(IMAGES, "images.json"), "utf8"));

const settings = (row: Record<string, unknown>): Preprocessing =>
  ({
    width: row["size"],
    height: row["size"],
    shortestEdge: row["edge"],
    resample: row["resample"] === 2 ? "bilinear" : "bicubic",
    rescaleFactor: row["rescale_factor"],
    imageMean: row["image_mean"],
    imageStd: row["image_std"],
  }) as Preprocessing;

describe("resize", () => {
  it("equals Pillow, every pixel", () => {
    let compared = 0;
    for (const row of goldens.images) {
      const source = readPng(join(IMAGES, row.decoded));
      for (const want of row.resized) {
        const got = resize(source, want.w, want.h, want.filter);
        expect(difference(got, readPng(join(IMAGES, want.file))), `${row.file} ${want.file}`).toBe(
          0,
        );
        compared += 1;
      }
    }
    expect(compared).toBeGreaterThan(50);
  });

  it("keeps flat colours", () => {
    const flat = (width: number, height: number): Pixels => ({
      width,
      height,
      data: Uint8Array.from({ length: width * height * 3 }, (_, i) => [255, 128, 0][i % 3] ?? 0),
    });
    const sizes = [
      [1, 1],
      [3, 200],
      [317, 2],
      [64, 65],
      [7, 5],
      [1, 300],
      [30, 300],
    ] as const;
    for (const [width, height] of sizes) {
      for (const [w, h] of sizes) {
        for (const filter of ["bilinear", "bicubic"] as Resample[]) {
          expect(difference(resize(flat(width, height), w, h, filter), flat(w, h))).toBe(0);
        }
      }
    }
  });

  it("drops alpha without blending", () => {
    const rgba = { width: 1, height: 1, data: Uint8Array.of(10, 20, 30, 0) };
    expect([...resize(rgba, 1, 1, "bicubic").data]).toEqual([10, 20, 30]);
  });

  it("refuses what is no image", () => {
    const data = new Uint8Array(12);
    const bad = [
      { width: 2, height: 2, data: new Uint8Array(11) },
      { width: 0, height: 2, data },
      { width: 1.5, height: 2, data },
      { width: -2, height: -2, data },
      { width: MAX_IMAGE_PIXELS, height: 2, data },
      { width: Number.NaN, height: 2, data },
      { width: 2, height: 2, data: [1, 2, 3] as unknown as Uint8Array },
      { width: 2, height: 2 } as unknown as Pixels,
    ];
    for (const image of bad) {
      expect(() => resize(image, 4, 4, "bicubic")).toThrow(
        expect.objectContaining({ code: "invalid_argument" }),
      );
    }
    const wide = { width: 12_000_000, height: 1, data: new Uint8Array(36_000_000) };
    expect(() => resize(wide, 224, 224, "bicubic")).toThrow(
      expect.objectContaining({ code: "unsupported" }),
    );
  });
});

describe("normalise", () => {
  it("equals transformers, every bit", () => {
    let cropped = 0;
    for (const row of goldens.processed) {
      const { decoded } = goldens.images.find(({ file }: { file: string }) => file === row.file);
      const tensor = readTensor(join(IMAGES, "processed.safetensors"), row.tensor);
      const got = preprocess(readPng(join(IMAGES, decoded)), settings(row));
      expect(got, row.tensor).toEqual(tensor);
      cropped += row.edge === 0 ? 0 : 1;
    }
    expect(cropped).toBeGreaterThan(4);
  });

  it("refuses an image that would become endless", () => {
    const line = { width: 1, height: 4096, data: new Uint8Array(4096 * 3) };
    const wanted = { width: 8192, height: 8192, shortestEdge: 8192, resample: "bicubic" };
    expect(() => preprocess(line, wanted as Preprocessing)).toThrow(
      expect.objectContaining({ code: "unsupported" }),
    );
  });

  it("puts channels first", () => {
    const image = { width: 2, height: 1, data: Uint8Array.of(0, 10, 20, 30, 40, 50) };
    const numbers = {
      rescaleFactor: 1,
      imageMean: [0, 0, 10],
      imageStd: [1, 2, 1],
    } as unknown as Preprocessing;
    expect([...normalise(image, numbers)]).toEqual([0, 30, 5, 20, 10, 40]);
  });
});
