import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { TextStream, Tokenizer } from "../src/generation/tokenizer.js";
import { ROOT } from "./lib/program.js";

const FOLDER = join(ROOT, "tests/goldens/tokenizer");
const goldens = JSON.parse(readFileSync(join(FOLDER, "tests.json"), "utf8"));

const REPLACEMENT = "\uFFFD";
const settled = (text: string): string => text.replace(/\uFFFD+$/, "");

for (const golden of goldens.tokenizers) {
  const json = JSON.parse(readFileSync(join(FOLDER, golden.file), "utf8"));
  const tokenizer = new Tokenizer(json, {});

  describe(golden.name, () => {
    it("encodes as tokenizers does", () => {
      for (const { text, ids } of golden.encode) {
        expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
      }
    });

    it("decodes as tokenizers does", () => {
      for (const { ids, decoded } of golden.encode) {
        expect(tokenizer.decode(ids)).toBe(decoded);
      }
      for (const { ids, text } of golden.decode) {
        expect(tokenizer.decode(ids)).toBe(text);
      }
    });

    it("streams whole characters that add up", () => {
      let exactRuns = 0;
      for (const { ids, prefixes } of golden.stream) {
        const text: string = prefixes.at(-1);
        // Byte fallback takes back what it showed when the bytes that follow are none of UTF-8.
        const exact = prefixes.every((prefix: string) => text.startsWith(settled(prefix)));
        exactRuns += exact ? 1 : 0;
        const stream = new TextStream((some) => tokenizer.decode(some));
        let shown = "";
        for (const [step, id] of ids.entries()) {
          const piece = stream.push(id);
          expect(piece.endsWith(REPLACEMENT)).toBe(false);
          shown += piece;
          if (exact) {
            expect(text.startsWith(shown)).toBe(true);
            expect(shown === prefixes[step] || prefixes[step].endsWith(REPLACEMENT)).toBe(true);
          }
        }
        shown += stream.finish();
        expect(shown === text || !exact, JSON.stringify([shown, text])).toBe(true);
      }
      expect(exactRuns).toBeGreaterThan(5);
    });
  });
}

it("leaves ids out that no vocabulary has", () => {
  const json = JSON.parse(readFileSync(join(FOLDER, "smollm2.json"), "utf8"));
  const tokenizer = new Tokenizer(json, {});
  const ids = tokenizer.encode("red");
  expect(tokenizer.decode([...ids, 100_000])).toBe("red");
  expect(tokenizer.decode([100_000])).toBe("");
});

it("refuses what is no tokenizer", () => {
  for (const json of [{}, null, [], { model: {} }, { model: { type: "BPE" } }]) {
    expect(() => new Tokenizer(json, {})).toThrow(
      expect.objectContaining({ code: "invalid_file" }),
    );
  }
});
