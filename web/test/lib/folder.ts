// A folder with a manifest whose files are noise of several chunks: for tests of what fetches and
// stores, which never look inside.
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { CHUNK_BYTES } from "../../src/loading/manifest.js";
import { ROOT, scratch } from "./program.js";

/** The manifest as a folder of version 1 has it. */
// biome-ignore lint/suspicious/noExplicitAny: free-form JSON
export function asVersion1(manifest: Record<string, unknown>): any {
  const { graph_files: _, preferred_dtypes: __, ...rest } = manifest;
  return { ...rest, format_version: 1 };
}

const SAMPLE = join(ROOT, "tests/hostile/manifests/accepted/one_dtype.json");

/** Files of noise, from `seed`; the manifest is that of the accepted samples, with these files. */
export class NoiseFolder {
  readonly path: string = mkdtempSync(join(scratch(), "noise-"));
  readonly files: Map<string, Uint8Array> = new Map();

  write(sizes: Readonly<Record<string, number>>, seed = 1): void {
    this.files.clear();
    const manifest = JSON.parse(readFileSync(SAMPLE, "utf8"));
    manifest.files = Object.entries(sizes).map(([path, bytes], i) => {
      const { content, sha256 } = noise(bytes, seed * 100 + i);
      this.files.set(path, content.slice());
      mkdirSync(dirname(join(this.path, path)), { recursive: true });
      writeFileSync(join(this.path, path), content);
      return { path, bytes, sha256: [...sha256] };
    });
    writeFileSync(join(this.path, "lorapress.json"), JSON.stringify(manifest));
  }
}

/** What the manifest of every noise folder runs. */
export const GRAPHS = {
  "tokenizer.json": 10,
  "onnx/encoder_model.onnx": 100,
  "onnx/decoder_model_merged.onnx": 1000,
};

const made = new Map<string, { content: Uint8Array; sha256: string[] }>();

function noise(bytes: number, seed: number): { content: Uint8Array; sha256: string[] } {
  const key = `${bytes} ${seed}`;
  let found = made.get(key);
  if (found === undefined) {
    const words = new Uint32Array(Math.ceil(bytes / 4));
    let state = seed;
    for (let i = 0; i < words.length; ++i) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      words[i] = state ^ (state >>> 15);
    }
    const content = new Uint8Array(words.buffer, 0, bytes);
    found = { content, sha256: digests(content) };
    made.set(key, found);
  }
  return found;
}

function digests(content: Uint8Array): string[] {
  return Array.from({ length: Math.ceil(content.length / CHUNK_BYTES) }, (_, i) =>
    createHash("sha256")
      .update(content.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES))
      .digest("hex"),
  );
}
