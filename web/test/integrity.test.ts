import { createHash, randomBytes } from "node:crypto";
import { expect, it, vi } from "vitest";
import { requireDigest, sha256, sha256Plain } from "../src/loading/integrity.js";

const reference = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

it("hashes as OpenSSL does, with and without crypto.subtle", async () => {
  for (const size of [0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 1000, 100_003]) {
    const bytes = new Uint8Array(randomBytes(size));
    expect(hex(sha256Plain(bytes)), `${size}`).toBe(reference(bytes));
    expect(await sha256(bytes), `${size}`).toBe(reference(bytes));
  }
  vi.stubGlobal("crypto", {});
  expect(await sha256(new Uint8Array(10))).toBe(reference(new Uint8Array(10)));
  vi.unstubAllGlobals();
});

it("hashes views", async () => {
  const bytes = new Uint8Array(randomBytes(300)).subarray(17, 200);
  expect(await sha256(bytes)).toBe(reference(bytes));
  expect(hex(sha256Plain(bytes))).toBe(reference(bytes));
});

it("finds any flipped bit", async () => {
  const bytes = new Uint8Array(randomBytes(64));
  const digest = reference(bytes);
  await requireDigest(bytes, digest, "here");
  for (let bit = 0; bit < bytes.length * 8; ++bit) {
    const other = bytes.slice();
    other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    await expect(requireDigest(other, digest, "here")).rejects.toMatchObject({
      code: "invalid_file",
    });
  }
});
