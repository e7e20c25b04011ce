// The seam: whole captions with an engine that is not ONNX Runtime, on a folder whose graphs are no ONNX files.
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EngineRequest } from "../src/engine/engine_api.js";
import { LocalBackend } from "../src/local.js";
import { vectors } from "./lib/generation.js";
import { toOptions } from "./lib/goldens.js";
import { pressed, scratch } from "./lib/program.js";
import { TestServer } from "./lib/server.js";
import { type Table, TableEngine } from "./lib/table_engine.js";

const IMAGE = {
  kind: "pixels" as const,
  pixels: { width: 2, height: 2, data: new Uint8Array(12) },
};
const NEVER = new AbortController().signal;

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({ "/": scratch() });
});
afterAll(() => server.stop());

/** A folder whose decoder is `table`; its address. */
function folderOf(table: Table): string {
  const path = mkdtempSync(join(scratch(), "table-"));
  const manifest = JSON.parse(readFileSync(join(pressed("demo"), "lorapress.json"), "utf8"));
  const files = {
    "tokenizer.json": readFileSync(join(pressed("demo"), "tokenizer.json")),
    "onnx/encoder_model.onnx": Buffer.from("{}"),
    "onnx/decoder_model_merged.onnx": Buffer.from(JSON.stringify(table)),
  };
  manifest.model.vocab_size = table.logits[0]?.length;
  manifest.generation = {
    decoder_start_token_id: table.start,
    eos_token_id: table.eos_token_ids,
    max_new_tokens: table.max_new_tokens,
  };
  manifest.files = Object.entries(files).map(([name, content]) => {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), content);
    const sha256 = [createHash("sha256").update(content).digest("hex")];
    return { path: name, bytes: content.length, sha256 };
  });
  writeFileSync(join(path, "lorapress.json"), JSON.stringify(manifest));
  return `${server.origin}/${path.slice(scratch().length + 1)}`;
}

async function load(table: Table): Promise<[LocalBackend, TableEngine, EngineRequest[]]> {
  const engine = new TableEngine();
  const requests: EngineRequest[] = [];
  const backend = await LocalBackend.load(folderOf(table), {}, async (request) => {
    requests.push(request);
    return engine;
  });
  await backend.ready;
  return [backend, engine, requests];
}

describe("an engine that is not ONNX Runtime", () => {
  it("gives transformers' beams, and is given back what it lends", async () => {
    let runs = 0;
    for (const table of vectors("beams.json").tables) {
      const [backend, engine] = await load(table);
      expect(engine.loaded).toEqual(["encoder", "decoder"]);
      const most = table.logits[0].length / (1 + table.eos_token_ids.length);
      for (const { options, ids, scores } of table.runs) {
        if (options.num_beams > most) {
          continue; // the captioner refuses: there are too few tokens to choose from
        }
        const caption = await backend.run(IMAGE, toOptions(options), NEVER, () => {});
        expect(caption.ids, JSON.stringify(options)).toEqual(ids[0]);
        expect(Math.abs((caption.score ?? Number.NaN) - scores[0])).toBeLessThan(1e-4);
        expect(engine.alive).toBe(0);
        runs += 1;
      }
      await backend.dispose();
    }
    expect(runs).toBe(84);
  });

  it("gets the start token from the captioner, before the prompt", async () => {
    const [backend, engine, requests] = await load(vectors("beams.json").tables[0]);
    const all = await backend.run(IMAGE, {}, NEVER, () => {});
    const prompt = [4, 2];
    const prompted = await backend.run(IMAGE, { prompt, maxNewTokens: 1 }, NEVER, () => {});
    expect(engine.begun).toEqual([[0], [0, ...prompt]]);
    expect(all.ids.length).toBeGreaterThan(1);
    expect(prompted.ids.length).toBe(1);
    const shape = { vocabSize: 8, numHiddenLayers: 4, numKeyValueHeads: 2, headDim: 32 };
    expect(requests).toEqual([expect.objectContaining({ device: "wasm", threads: 1 })]);
    expect(requests[0]?.shape).toMatchObject({ ...shape, imageSize: [64, 64] });
    await backend.dispose();
  });

  it("is stopped between two tokens", async () => {
    const table = vectors("beams.json").tables[0];
    const [backend, engine] = await load(table);
    const stop = new AbortController();
    const pieces: string[] = [];
    const onPiece = (piece: string): void => {
      pieces.push(piece);
      stop.abort(new Error("enough"));
    };
    const minNewTokens = table.max_new_tokens;
    const running = backend.run(IMAGE, { minNewTokens }, stop.signal, onPiece);
    await expect(running).rejects.toThrow("enough");
    expect(pieces.length).toBe(1);
    expect(engine.alive).toBe(0);
    await backend.dispose();
  });

  it("is stopped by an event while its steps take no turn of the event loop", async () => {
    const table = vectors("beams.json").tables[0];
    const [backend, engine] = await load(table);
    const step = engine.step.bind(engine);
    let steps = 0;
    engine.step = (...all) => {
      steps += 1;
      for (const end = performance.now() + 60; performance.now() < end; ) {
        // as an engine that computes
      }
      return step(...all);
    };
    const stop = new AbortController();
    const running = backend.run(
      IMAGE,
      { minNewTokens: table.max_new_tokens },
      stop.signal,
      () => setTimeout(() => stop.abort(new Error("enough"))), // an event
    );
    await expect(running).rejects.toThrow("enough");
    expect(steps).toBeLessThan(4);
    expect(table.max_new_tokens).toBeGreaterThan(4);
    await backend.dispose();
  });
});
