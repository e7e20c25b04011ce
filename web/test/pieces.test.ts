// Files in pieces: read across their borders, freed one by one.
import { expect, it } from "vitest";
import { Pieces } from "../src/loading/pieces.js";

const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);

function cut(...sizes: readonly number[]): Uint8Array[] {
  let at = 0;
  return sizes.map((size) => {
    at += size;
    return bytes.slice(at - size, at);
  });
}

it("reads any range, whatever the pieces", () => {
  for (const parts of [
    cut(100),
    cut(1, 99),
    cut(30, 30, 40),
    Array.from(bytes, (byte) => Uint8Array.of(byte)),
  ]) {
    const file = new Pieces(parts);
    expect(file.size).toBe(100);
    for (let begin = 0; begin <= 100; begin += 7) {
      for (let end = begin; end <= 100; end += 5) {
        expect([...file.read(begin, end)]).toEqual([...bytes.subarray(begin, end)]);
        const views = [...file.views(begin, end)].flatMap((view) => [...view]);
        expect(views).toEqual([...bytes.subarray(begin, end)]);
      }
    }
    expect(() => file.read(99, 101)).toThrow(RangeError);
    expect(() => file.read(-1, 1)).toThrow(RangeError);
    expect(() => file.read(5, 4)).toThrow(RangeError);
  }
});

it("frees a piece when its last byte was read, and then has it no more", () => {
  const freed: number[] = [];
  const file = new Pieces(cut(30, 30, 40), (piece) => freed.push(piece.length));
  file.drop(29);
  expect(freed).toEqual([]);
  file.drop(60);
  expect(freed).toEqual([30, 30]);
  expect([...file.read(60, 62)]).toEqual([60, 61]);
  expect(() => file.read(59, 61)).toThrow(RangeError);
  expect(() => [...file.views(0, 5)]).toThrow(RangeError);
  file.drop(100);
  expect(freed).toEqual([30, 30, 40]);
});
