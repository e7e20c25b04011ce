// tests/goldens: what PyTorch, transformers and Pillow make of tiny checkpoints and images.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PNG } from "pngjs";
import { ENGINES, type EngineName } from "../../src/engine/engine_api.js";
import type { Pixels } from "../../src/image/image.js";
import type { CaptionOptions } from "../../src/index.js";
import { ROOT } from "./program.js";

const CHECKPOINTS = join(ROOT, "tests/goldens/checkpoints");

/** Those that are pressed as bundle "llava", too. */
export const LLAVA: readonly string[] = [
  "base",
  "odd",
  "qwen2",
  "qwen3",
  "mistral",
  "phi3",
  "smollm3",
];

/** Below tests/goldens: checkpoints of LLaVA, SmolVLM and Idefics3, pressed under their names with "-" for "/". */
export const REAL_PLACEHOLDERS: readonly string[] = [
  "llava/clip",
  "llava/siglip",
  "llava/layers",
  "smolvlm/smolvlm",
  "smolvlm/idefics3",
];

/** Below tests/goldens/cross, pressed as "NAME-cross". */
export const CROSS: readonly string[] = [
  "vitgpt2",
  "vitgpt2lora",
  "deitgpt2",
  "siglipgpt2",
  "trocr",
  "trocrsin",
  "blip",
  "bliplora",
];

/** Where all goldens run on the project's own engine, a few run on ONNX Runtime, too. */
export const engines = (some: boolean): readonly EngineName[] => (some ? ENGINES : ["native"]);

export interface BeamCase {
  readonly options: Readonly<Record<string, unknown>>;
  readonly results: readonly { image: number; ids: number[][]; scores: number[] }[];
}

export interface Golden {
  readonly name: string;
  readonly checkpoint: string;
  /** Adapter folders of its main case. */
  readonly pressOptions: readonly string[];
  readonly maxNewTokens: number;
  readonly images: readonly string[];
  readonly captions: readonly { image: number; ids: number[]; text: string }[];
  readonly prompt: { image: number; prompt_ids: number[]; prompt_text: string; ids: number[] };
  readonly beams: readonly BeamCase[];
  readonly variants: readonly {
    options: Record<string, number>;
    image: number;
    ids: number[];
    prompt_ids?: number[];
  }[];
}

export const readCross = (name: string): Golden =>
  readFrom(join(ROOT, "tests/goldens/cross"), name);

export const readGolden = (name: string): Golden => readFrom(CHECKPOINTS, name);

function readFrom(goldens: string, name: string): Golden {
  const folder = join(goldens, name);
  const golden = JSON.parse(readFileSync(join(folder, "golden/golden.json"), "utf8"));
  const part = golden.cases.find(({ name }: { name: string }) => name === "default");
  return {
    ...part,
    checkpoint: join(folder, golden.checkpoint),
    pressOptions: part.adapters.flatMap(({ path, weight }: { path: string; weight: number }) => [
      "--adapter",
      `${join(folder, path)}:${weight}`,
    ]),
    maxNewTokens: golden.max_new_tokens,
    images: golden.images.map((image: string) => join(folder, "golden", image)),
    name,
  };
}

export function allGoldens(): Golden[] {
  return readdirSync(CHECKPOINTS)
    .filter((name) => existsSync(join(CHECKPOINTS, name, "golden")))
    .map(readGolden);
}

const camel = (name: string): string => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());

/** transformers' names to ours. */
export function toOptions(options: Readonly<Record<string, unknown>>): CaptionOptions {
  const entries = Object.entries(options).filter(([name]) => name !== "num_return_sequences");
  return Object.fromEntries(entries.map(([name, value]) => [camel(name), value]));
}

export function readPng(path: string): Pixels {
  const { width, height, data } = PNG.sync.read(readFileSync(path));
  return { width, height, data: new Uint8Array(data) };
}

/** The largest difference of a colour; alpha is not looked at. */
export function difference(a: Pixels, b: Pixels): number {
  if (a.width !== b.width || a.height !== b.height) {
    return Number.POSITIVE_INFINITY;
  }
  const pixels = a.width * a.height;
  const [stepA, stepB] = [a.data.length / pixels, b.data.length / pixels];
  let largest = 0;
  for (let i = 0; i < pixels; ++i) {
    for (let channel = 0; channel < 3; ++channel) {
      const [x, y] = [a.data[i * stepA + channel] ?? 0, b.data[i * stepB + channel] ?? 0];
      largest = Math.max(largest, Math.abs(x - y));
    }
  }
  return largest;
}

/** One float32 tensor of a safetensors file. */
export function readTensor(path: string, name: string): Float32Array {
  const bytes = readFileSync(path);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, start).toString("utf8"));
  const [begin, end] = header[name].data_offsets;
  return new Float32Array(new Uint8Array(bytes.subarray(start + begin, start + end)).buffer);
}
