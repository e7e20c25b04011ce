// What is done to graph files before the engine gets them; that captions stay the same is what
// caption.test.ts and generation.test.ts show.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { splitGraph } from "../src/engine/onnx_file.js";
import { fields, Message, textOf } from "../src/engine/protobuf.js";
import { Pieces } from "../src/loading/pieces.js";
import { pressed } from "./lib/program.js";

const HEAD_DIM = 16;

function opTypes(graphFile: Uint8Array): string[] {
  const file = new Pieces([graphFile]);
  const found: string[] = [];
  for (const graph of fields(file, 0, file.size)) {
    if (graph.number === 7) {
      for (const node of fields(file, graph.content, graph.end)) {
        if (node.number === 1) {
          const parts = [...fields(file, node.content, node.end)];
          found.push(
            ...parts.filter(({ number }) => number === 4).map((part) => textOf(file, part)),
          );
        }
      }
    }
  }
  return found;
}

const count = (list: readonly string[], what: string): number =>
  list.filter((one) => one === what).length;

function fileOf(folder: string, name: string, size = 1000): Pieces {
  const content = readFileSync(join(pressed(folder), "onnx", name));
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < content.length; at += size) {
    pieces.push(Uint8Array.from(content.subarray(at, at + size)));
  }
  return new Pieces(pieces);
}

describe("a graph file", () => {
  it("keeps everything but its weights, whatever the pieces", () => {
    const file = fileOf("demo", "encoder_model.onnx");
    const { graph, weights } = splitGraph(file, "own", HEAD_DIM);
    const ranges = weights.get("own") ?? [];
    const moved = ranges.reduce((sum, [begin, end]) => sum + end - begin, 0);
    expect([...weights.keys()]).toEqual(["own"]);
    expect(moved).toBeGreaterThan(0.9 * file.size);
    expect(graph.length).toBeLessThan(0.1 * file.size);
    const whole = fileOf("demo", "encoder_model.onnx", file.size);
    expect(splitGraph(whole, "own", HEAD_DIM).graph).toEqual(graph);
    expect(opTypes(graph)).toEqual(opTypes(whole.read(0, whole.size)));
  });

  it("says which weights are beside it", () => {
    const file = fileOf("demo-external", "decoder_model_merged.onnx");
    const { weights } = splitGraph(file, "own", HEAD_DIM);
    const beside = weights.get("decoder_model_merged.onnx_data") ?? [];
    expect(beside.length).toBeGreaterThan(10);
    expect(beside.every(([begin, end]) => end > begin && begin >= 0)).toBe(true);
  });

  it("gets plain attention for the first call, and keeps the engine's for what follows", () => {
    const file = fileOf("demo", "decoder_model_merged.onnx");
    const before = opTypes(file.read(0, file.size));
    const after = opTypes(splitGraph(file, "own", HEAD_DIM).graph);
    const layers = count(before, "GroupQueryAttention");
    expect(layers).toBeGreaterThan(0);
    expect(count(after, "If")).toBe(layers);
    expect(count(after, "GroupQueryAttention")).toBe(0); // they are in the branches
  });

  // q, k and v apart (normalised heads, heads of which a part is rotated), without rotation, and beside
  // layers of plain operators (windows).
  it.each([
    ["qwen3", 2],
    ["phi3", 2],
    ["qwen2window", 1],
    ["mistral", 0],
  ])("of %s gets plain attention for the first call of %i layers", (name, layers) => {
    const file = fileOf(name, "decoder_model_merged.onnx");
    expect(count(opTypes(file.read(0, file.size)), "GroupQueryAttention")).toBe(layers);
    const after = opTypes(splitGraph(file, "own", HEAD_DIM).graph);
    expect(count(after, "GroupQueryAttention")).toBe(0);
    expect(count(after, "If")).toBe(layers);
  });

  it("of half precision keeps its attention", () => {
    const file = fileOf("demo-dtypes", "decoder_model_merged_fp16.onnx");
    const before = opTypes(file.read(0, file.size));
    expect(opTypes(splitGraph(file, "own", HEAD_DIM).graph)).toEqual(before);
  });

  it("that is none is refused", () => {
    const errors = [
      Uint8Array.of(0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f), // a graph of 4 GB in a file of 6 bytes
      Uint8Array.of(0x07),
      new Uint8Array(12).fill(0xff),
      Uint8Array.of(0x3b),
    ];
    for (const bytes of errors) {
      expect(() => splitGraph(new Pieces([bytes]), "own", HEAD_DIM)).toThrow("no ONNX file");
    }
  });
});

it("writes what it reads", () => {
  const message = new Message().number(1, 300).text(2, "\u00e9").float(3, 1.5).number(4, -1);
  const file = new Pieces([message.message(5, new Message().number(1, 2 ** 40)).finish()]);
  const found = [...fields(file, 0, file.size)];
  expect(found.map(({ number, wire }) => [number, wire])).toEqual([
    [1, 0],
    [2, 2],
    [3, 5],
    [4, 0],
    [5, 2],
  ]);
  expect(found[0]?.value).toBe(300);
  const [text, inner] = [found[1], found[4]];
  expect(text && textOf(file, text)).toBe("\u00e9");
  expect(inner && [...fields(file, inner.content, inner.end)][0]?.value).toBe(2 ** 40);
});
