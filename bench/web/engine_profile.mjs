// The engine's module alone, one thread, in Chromium: milliseconds to encode an image, of the prompt, of a token (of the processor's
// time, which a busy machine changes less than wall time), and with one module of --names the functions in which they go.
// usage: node bench/web/engine_profile.mjs FOLDER DTYPE MODULE.wasm...   modules take turns
//   LORAPRESS_WASM_NAMES=1 tools/engine_wasm.sh build-wasm/names         modules with the names of functions
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { basename, join, resolve } from "node:path";
import { launch, processorMs } from "./browser.mjs";

const [folder, dtype, ...modules] = process.argv.slice(2);
const ROUNDS = 8;
const STEPS = 24;
const PARTS = { encoder: 0, decoder: 2 };

const { model, preprocessing, graphs } = JSON.parse(readFileSync(join(folder, "lorapress.json"), "utf8"));
const { height, width } = preprocessing.size;
const facts = [height, width, model.image_tokens ?? -1, model.vocab_size, model.num_hidden_layers, model.num_key_value_heads, model.head_dim, -1, 0, 0];
const parts = Object.entries(graphs[dtype]).map(([role, path]) => ({ part: PARTS[role], path }));

/** In the page: an instance that holds the model, ready to run. */
async function make({ url, facts, parts }) {
  const files = await Promise.all(parts.map(async ({ path }) => new Uint8Array(await (await fetch(path)).arrayBuffer())));
  let lent;
  const lorapress = {
    read: (_, offset, to, size) => new Uint8Array(exports.memory.buffer, to, size).set(lent.subarray(offset, offset + size)),
    done: () => {},
    refused: () => {
      throw new Error("refused");
    },
    now: () => performance.now(),
  };
  const { exports } = (await WebAssembly.instantiateStreaming(fetch(url), { lorapress })).instance;
  exports._initialize();
  exports.lp_open(...facts);
  const name = exports.lp_allocate(64);
  for (const [i, { part }] of parts.entries()) {
    lent = files[i];
    new TextEncoder().encodeInto("graph.onnx\0", new Uint8Array(exports.memory.buffer, name, 64));
    exports.lp_file(name, lent.length);
    if (exports.lp_load(part) === 0) throw new Error("a graph that does not load");
  }
  const pixels = exports.lp_allocate(4 * 3 * facts[0] * facts[1]);
  const numbers = new Float32Array(exports.memory.buffer, pixels, 3 * facts[0] * facts[1]);
  numbers.forEach((_, i) => (numbers[i] = Math.sin(i)));
  const ids = exports.lp_allocate(64);
  const write = (...values) => new Int32Array(exports.memory.buffer, ids, 16).set(values);
  let image;
  let rows;
  (globalThis.engines ??= []).push({
    encode: () => (image = exports.lp_encode(pixels, 1)),
    prefill: (steps) => {
      write(0);
      rows = exports.lp_prefill(image, ids, 1, steps);
    },
    tokens: (steps) => {
      for (let i = 0; i < steps; ++i) {
        write(0, 17 + i);
        exports.lp_step(rows, ids, ids + 4, 1);
      }
    },
    end: () => {
      const logits = new Float32Array(exports.memory.buffer, exports.lp_logits(rows) >>> 0, 8);
      const first = [...logits].map((value) => value.toFixed(4)).join(" ");
      exports.lp_free_sequences(rows);
      exports.lp_free_image(image);
      return `${new TextDecoder().decode(new Uint8Array(exports.memory.buffer, exports.lp_kernels(), 16)).split("\0")[0]}, first logits ${first}`;
    },
  });
}

const server = createServer((request, response) => {
  const path = decodeURIComponent(request.url);
  if (path === "/") return response.setHeader("Content-Type", "text/html").end("<!doctype html>");
  if (path === "/favicon.ico") return response.writeHead(404).end();
  response.setHeader("Content-Type", path.endsWith(".wasm") ? "application/wasm" : "application/octet-stream");
  response.end(readFileSync(path));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const browser = await launch();

/** Of a CPU profile, the share of each function's own time. */
function print({ nodes, samples, timeDeltas }) {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, callFrame.functionName]));
  const sums = new Map();
  samples.forEach((id, i) => sums.set(names.get(id), (sums.get(names.get(id)) ?? 0) + timeDeltas[i]));
  const all = [...sums].filter(([name]) => !/^\((program|idle|root)\)$/.test(name));
  const whole = all.reduce((sum, [, us]) => sum + us, 0);
  for (const [name, us] of all.sort(([, a], [, b]) => b - a).slice(0, 25)) {
    if (us > whole / 500) console.log(`  ${((100 * us) / whole).toFixed(1).padStart(5)} %  ${name}`);
  }
}

try {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(0);
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const given = parts.map(({ part, path }) => ({ part, path: resolve(folder, path) }));
  for (const path of modules) await page.evaluate(make, { url: resolve(path), facts, parts: given });
  const call = (i, phase) => page.evaluate(([at, name, steps]) => void globalThis.engines[at][name](steps), [i, phase, STEPS]);
  const found = modules.map(() => ({ encode: [], prefill: [], tokens: [] }));
  for (let round = 0; round < ROUNDS; ++round) {
    for (const [i, one] of found.entries()) {
      for (const phase of ["encode", "prefill", "tokens"]) {
        const begin = processorMs();
        await call(i, phase);
        one[phase].push(processorMs() - begin);
      }
      one.end = await page.evaluate((at) => globalThis.engines[at].end(), i);
    }
  }
  for (const [i, path] of modules.entries()) {
    const cell = (list, parts, digits) => {
      const sorted = list.slice(2).sort((a, b) => a - b);
      return `${(sorted[sorted.length >> 1] / parts).toFixed(digits)} (${(sorted[0] / parts).toFixed(digits)})`;
    };
    const { encode, prefill, tokens, end } = found[i];
    console.log(
      `${basename(path, ".wasm")}: encode ${cell(encode, 1, 0)}, prefill ${cell(prefill, 1, 0)}, a token ${cell(tokens, STEPS, 2)} ms, median (least); ${end}`,
    );
  }
  if (modules.length === 1) {
    const session = await page.context().newCDPSession(page);
    await session.send("Profiler.enable");
    await session.send("Profiler.setSamplingInterval", { interval: 500 });
    await session.send("Profiler.start");
    for (let round = 0; round < 3; ++round) {
      for (const phase of ["encode", "prefill", "tokens", "end"]) await call(0, phase);
    }
    print((await session.send("Profiler.stop")).profile);
  }
} finally {
  await browser.close();
  server.close();
}
