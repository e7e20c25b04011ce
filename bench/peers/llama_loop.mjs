// Times a GGUF decoder in llama.cpp: 196 positions, then one token after the other. Runs the npm package's library with nothing around it.
// usage: node llama_loop.mjs MODEL.gguf [--runs N] [--tokens N] [--threads N]
//
// Prints one JSON line with the same names as `lorapress caption --json`. Nothing is encoded, and no token is chosen: time is llama_decode()'s, to
// which the package adds one hand-over to a thread, some 0.05 ms. "note" has the build for this processor that llama.cpp has chosen, and how
// many MiB of weights it has laid out for that processor's products.
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { getBinsDir } from "@node-llama-cpp/linux-x64";

const PREFIX = 196;
const VOCABULARY = 49152; // of the shape that make_gguf.py is given

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string", default: "4" },
    tokens: { type: "string", default: "30" },
    threads: { type: "string", default: "2" },
  },
});
const [runs, tokens, threads] = [values.runs, values.tokens, values.threads].map(Number);

const folder = join(getBinsDir().binsDir, "linux-x64");
const llama = createRequire(import.meta.url)(join(folder, "llama-addon.node"));
const said = [];
llama.setLogger((_level, text) => said.push(text));
llama.setLoggerLogLevel(6); // all
llama.loadBackends(folder);
await llama.init();
const model = new llama.AddonModel(positionals[0], { addonExports: llama, gpuLayers: 0 });
const options = { contextSize: PREFIX + tokens, batchSize: PREFIX, sequences: 1, threads, flashAttention: "auto" };
let context;
if (!(await model.init()) || !(await (context = new llama.AddonContext(model, options)).init())) {
  throw new Error(`${positionals[0]} does not load:\n${said.join("")}`);
}

/** Decodes tokens that follow `past` others, with the logits of the last. */
async function decode(ids, past) {
  context.initBatch(ids.length);
  context.addToBatch(0, past, Uint32Array.from(ids), Uint32Array.of(ids.length - 1));
  await context.decodeBatch();
}

let seed = 1;
const anyToken = () => {
  seed = (seed * 48271) % 2147483647;
  return seed % VOCABULARY;
};
const captions = [];
for (let run = 0; run < runs; run++) {
  const prompt = Array.from({ length: PREFIX }, anyToken);
  const ids = Array.from({ length: tokens }, anyToken);
  context.disposeSequence(0);
  const begin = performance.now();
  await decode(prompt, 0);
  const first = performance.now();
  for (const [at, id] of ids.slice(1).entries()) {
    await decode([id], PREFIX + at);
  }
  captions.push({ ids, encode_ms: 0, prefill_ms: first - begin, decode_ms: performance.now() - first });
}
await new Promise((resolve) => setTimeout(resolve, 50)); // what it has said comes later
const log = said.join("");
const backend = basename(/loaded CPU backend from (\S+)/.exec(log)?.[1] ?? "unknown");
const repacked = /CPU_REPACK model buffer size = +([\d.]+) MiB/.exec(log)?.[1] ?? "0";
console.log(JSON.stringify({ captions, note: `llama.cpp ran ${backend}, with ${repacked} MiB of weights repacked for it.` }));
process.exit();
