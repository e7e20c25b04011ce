// The engine's modules in Chromium: folders that press wrote give the tokens of the goldens, in 8 and 4 bit those of the engine
// natively; one and two threads; hostile files are refused.
// usage: node tests/wasm/engine.mjs PROGRAM FOLDER    FOLDER: the modules
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { launch, PAIRS, relaxedSet } from "./host.mjs";

const [program, modules] = process.argv.slice(2);
const goldens = fileURLToPath(new URL("../goldens/", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "lorapress-wasm-"));
const json = (path) => JSON.parse(readFileSync(path, "utf8"));

let folders = 0;
function press(checkpoint, ...options) {
  const folder = join(scratch, String(++folders));
  execFileSync(program, ["press", join(goldens, checkpoint), folder, ...options], { stdio: ["ignore", "ignore", "inherit"] });
  return folder;
}

// A float32 tensor of a safetensors file.
function tensor(path, name) {
  const file = readFileSync(path);
  const size = Number(file.readBigUInt64LE(0));
  const [begin, end] = JSON.parse(file.subarray(8, 8 + size))[name].data_offsets;
  return new Float32Array(file.buffer.slice(file.byteOffset + 8 + size + begin, file.byteOffset + 8 + size + end));
}

const PARTS = { encoder: 0, vision_encoder: 0, embed_tokens: 1, decoder: 2, decoder_model_merged: 2 };

// lp_open's numbers and the files of a folder's parts in a dtype.
function modelOf(folder, dtype) {
  const { model, preprocessing, graphs, graph_files } = json(join(folder, "lorapress.json"));
  const image = model.conditioning !== "none";
  const facts = [
    image ? preprocessing.size.height : 0,
    image ? preprocessing.size.width : 0,
    model.image_tokens ?? -1,
    model.vocab_size,
    model.num_hidden_layers,
    model.num_key_value_heads,
    model.head_dim,
    model.image_token_id ?? -1,
    model.conditioning === "cross" ? 1 : 0,
    0,
  ];
  const parts = Object.entries(graphs[dtype]).map(([role, path]) => ({
    part: PARTS[role],
    files: [path, ...graph_files[path].external_data].map((file) => ({
      name: file.split("/").at(-1),
      path: join(folder, file),
    })),
  }));
  return { facts, parts, vocabulary: model.vocab_size };
}

// Cases: {name, facts, parts, runs: [{ids, count, ends, pixels | features, expected}]}
function imageCases(golden, options, dtypes) {
  const { cases, max_new_tokens: count, eos_token_id: end, images } = json(join(goldens, golden, "golden/golden.json"));
  const folder = press(golden, "--dtype", dtypes.join(), ...options);
  const pixels = tensor(join(goldens, golden, "golden/golden.safetensors"), "pixel_values");
  const { decoder_start_token_id: start } = json(join(folder, "lorapress.json")).generation;
  return dtypes.map((dtype) => {
    const { facts, parts, vocabulary } = modelOf(folder, dtype);
    const plane = 3 * facts[0] * facts[1];
    const captions = cases[0].captions.slice(0, 2);
    const native = (image) =>
      JSON.parse(
        execFileSync(
          program,
          ["caption", folder, join(goldens, golden, "golden", images[image]), "--engine", "native", "--dtype", dtype, "--json", "--max-new-tokens", String(count)],
          { encoding: "utf8" },
        ),
      ).captions[0].ids;
    const runs = captions.map(({ image, ids }) => ({
      ids: [start],
      count,
      ends: [end],
      vocabulary,
      table: true,
      pixels: pixels.slice(image * plane, (image + 1) * plane),
      expected: dtype === "fp32" ? ids : native(image),
    }));
    return { name: `${golden} ${dtype} ${options.join(" ")}`, facts, parts, runs };
  });
}

function textCase(golden) {
  const { prompts, eos_token_id: ends } = json(join(goldens, golden, "golden.json"));
  const { facts, parts, vocabulary } = modelOf(press(`${golden}/adapter`, "--base", join(goldens, golden, "base")), "fp32");
  const [{ input_ids: ids, ids: expected }] = prompts;
  return { name: golden, facts, parts, runs: [{ ids, count: expected.length, ends: [ends].flat(), vocabulary, expected }] };
}

function placeholderCase(golden) {
  const { captions } = json(join(goldens, golden, "golden.json"));
  const folder = press(`${golden}/base`, "--external-data");
  const { facts, parts, vocabulary } = modelOf(folder, "fp32");
  const ends = json(join(folder, "lorapress.json")).generation.eos_token_id;
  const [{ input_ids: ids, ids: expected }] = captions;
  const all = tensor(join(goldens, golden, "golden.safetensors"), "image_features");
  const features = all.slice(0, all.length / 4);
  const run = { ids, count: expected.length, ends: [ends].flat(), vocabulary, features, width: features.length / facts[2], expected };
  return { name: golden, facts, parts, runs: [run] };
}

// A file whose bytes at `changed` are others, under a name that the server knows.
function hostile(base, change) {
  const { facts, parts, runs } = base;
  const bytes = Buffer.from(readFileSync(parts[0].files[0].path));
  const path = join(scratch, `hostile-${++folders}.onnx`);
  writeFileSync(path, change(bytes));
  return { facts, parts: [{ part: parts[0].part, files: [{ name: "graph.onnx", path }] }], runs };
}

const server = createServer((request, response) => {
  const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname).slice(1);
  if (path === "favicon.ico") {
    response.writeHead(404).end();
    return;
  }
  const own = { "": "page.html", "engine_host.js": "engine_host.js", "engine_thread.js": "engine_thread.js" }[path];
  const types = { html: "text/html", js: "text/javascript", wasm: "application/wasm" };
  response.setHeader("Content-Type", types[(own ?? path).split(".").at(-1)] ?? "application/octet-stream");
  response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
  response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
  response.end(own === "page.html" ? "<!doctype html>" : readFileSync(own ? new URL(own, import.meta.url) : `/${path}`));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const browsers = { "": await launch(), [PAIRS]: await launch(PAIRS) };
const pages = {};
const wrong = [];
try {
  for (const [flags, browser] of Object.entries(browsers)) {
    pages[flags] = await (await browser.newContext()).newPage();
    pages[flags].setDefaultTimeout(0);
    await pages[flags].goto(`http://127.0.0.1:${server.address().port}/`);
  }
  const work = (page, variant, { facts, parts, runs }) =>
    page.evaluate(
      (job) =>
        new Promise((resolve) => {
          const worker = new Worker("engine_host.js");
          worker.onmessage = ({ data }) => {
            worker.terminate();
            resolve(data);
          };
          worker.onerror = ({ message }) => resolve({ error: message });
          worker.postMessage(job);
        }),
      {
        wasm: join(modules, `engine_${variant}.wasm`),
        threads: variant.endsWith("_threads") ? 2 : 1,
        facts,
        parts: parts.map(({ part, files }) => ({ part, files: files.map(({ name, path }) => ({ name, url: path })) })),
        runs: runs.map((run) => ({ ...run, ...(run.pixels && { pixels: [...run.pixels] }), ...(run.features && { features: [...run.features] }) })),
      },
    );
  const cases = [
    ...imageCases("checkpoints/base", [], ["fp32", "q8", "q4", "q4f16"]),
    ...imageCases("checkpoints/clip", ["--ops", "standard"], ["fp32", "q4f16"]),
    ...imageCases("cross/vitgpt2", [], ["fp32"]),
    textCase("text/llama"),
    placeholderCase("llava/siglip"),
  ];
  const variants = ["relaxed", "relaxed_threads", "simd128", "simd128_threads"].map((variant) => [variant, ""]);
  for (const [variant, flags] of [["relaxed", PAIRS], ...variants]) {
    const page = pages[flags];
    const set = variant.startsWith("relaxed") ? relaxedSet(flags) : "wasm_simd128";
    for (const one of cases) {
      const { error, found, kernels } = await work(page, variant, one);
      const wanted = one.runs.map(({ expected }) => expected);
      if (error !== undefined || kernels !== set || String(found) !== String(wanted)) {
        wrong.push(`${variant}, ${one.name}: ${error ?? `${kernels} ${found}, expected ${wanted}`}`);
      }
    }
    const refusals = [
      [/refused 1: /, hostile(cases[0], (bytes) => bytes.subarray(0, bytes.length / 2))],
      [/refused [01]: /, hostile(cases[0], (bytes) => bytes.fill(0xff, 100, 200))],
      [/refused 3: .*vocab|refused 3: /, { ...cases[0], facts: [64, ...cases[0].facts.slice(1)] }],
    ];
    for (const [pattern, one] of refusals) {
      const { error = "nothing" } = await work(page, variant, one);
      if (!pattern.test(error)) wrong.push(`${variant}: expected ${pattern}, found ${error}`);
    }
  }
  if (wrong.length > 0) throw new Error(wrong.join("\n"));
  console.log(`4 modules: ${cases.length} folders each, equal to goldens and to the engine natively`);
} finally {
  for (const browser of Object.values(browsers)) await browser.close();
  server.close();
  rmSync(scratch, { recursive: true });
}
