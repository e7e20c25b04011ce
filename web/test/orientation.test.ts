import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { isTiff, isWebp, upright, webpOrientation } from "../src/image/orientation.js";
import { ROOT } from "./lib/program.js";

const read = (file: string): Uint8Array =>
  new Uint8Array(readFileSync(join(ROOT, "tests/goldens/images", file)));

it("finds the orientation of a WebP file", () => {
  expect(webpOrientation(read("exif_8.webp"))).toBe(8);
  expect(webpOrientation(read("webp_lossy.webp"))).toBe(1);
  expect([read("exif_8.webp"), read("exif_8.jpg")].map(isWebp)).toEqual([true, false]);
});

it("knows a TIFF file in either order of bytes", () => {
  const files = ["tiff_strips.tif", "tiff_big_endian.tif", "exif_8.webp", "bmp_24_v4.bmp"];
  expect(files.map((file) => isTiff(read(file)))).toEqual([true, true, false, false]);
  expect(isTiff(new Uint8Array())).toBe(false);
});

it("survives every cut and every changed byte", () => {
  const bytes = read("exif_8.webp");
  for (let size = 0; size < bytes.length; size += 7) {
    expect(webpOrientation(bytes.subarray(0, size))).toBeLessThanOrEqual(8);
  }
  for (let at = 12; at < bytes.length; at += 1) {
    for (const value of [0, 0x7f, 0xff]) {
      const other = bytes.slice();
      other[at] = value;
      expect(webpOrientation(other)).toBeLessThanOrEqual(8);
    }
  }
});

describe("upright", () => {
  // EXIF 2.32: which corner of the scene the first row and column are.
  const cases: [number, number[][]][] = [
    [
      1,
      [
        [1, 2, 3],
        [4, 5, 6],
      ],
    ],
    [
      2,
      [
        [3, 2, 1],
        [6, 5, 4],
      ],
    ],
    [
      3,
      [
        [6, 5, 4],
        [3, 2, 1],
      ],
    ],
    [
      4,
      [
        [4, 5, 6],
        [1, 2, 3],
      ],
    ],
    [
      5,
      [
        [1, 4],
        [2, 5],
        [3, 6],
      ],
    ],
    [
      6,
      [
        [4, 1],
        [5, 2],
        [6, 3],
      ],
    ],
    [
      7,
      [
        [6, 3],
        [5, 2],
        [4, 1],
      ],
    ],
    [
      8,
      [
        [3, 6],
        [2, 5],
        [1, 4],
      ],
    ],
  ];
  for (const [orientation, rows] of cases) {
    it(`${orientation}`, () => {
      const data = Uint8Array.from([1, 2, 3, 4, 5, 6].flatMap((v) => [v, 0, 0, 255]));
      const got = upright({ width: 3, height: 2, data }, orientation);
      expect([got.width, got.height]).toEqual([rows[0]?.length, rows.length]);
      expect([...got.data].filter((_, i) => i % 4 === 0)).toEqual(rows.flat());
    });
  }
});
