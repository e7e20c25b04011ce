import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { asLorapressError, ERROR_CODES, LorapressError, messageOf } from "../src/errors.js";
import { ROOT } from "./lib/program.js";

it("has the codes of the program", () => {
  const header = readFileSync(join(ROOT, "include/lorapress/error.h"), "utf8");
  const names = [...header.matchAll(/ErrorCodeRow\{ErrorCode::k\w+, "(\w+)"\}/g)].map(([, n]) => n);
  expect(names.length).toBeGreaterThan(5);
  expect([...ERROR_CODES]).toEqual(names);
});

it("is one line", () => {
  expect(new LorapressError("io", "a\n  b\r\nc").message).toBe("a b c");
  expect(messageOf(new Error("x\ny"))).toBe("x y");
  expect(messageOf("text")).toBe("text");
});

it("keeps what is ours and what was aborted", () => {
  const ours = new LorapressError("io", "x");
  const abort = new DOMException("stop", "AbortError");
  expect(asLorapressError(ours, "runtime", "here")).toBe(ours);
  expect(asLorapressError(abort, "runtime", "here")).toBe(abort);
  expect(asLorapressError(7, "runtime", "here")).toMatchObject({
    code: "runtime",
    message: "here: 7",
  });
});
