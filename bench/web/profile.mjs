// Where the engine's time goes: its own profile of a folder's graphs, in Node, one thread, summed by operator.
// usage: node bench/web/profile.mjs FOLDER DTYPE [--rewritten]
//   DTYPE        fp32 or q8
//   --rewritten  the decoder as the package hands it to the engine
import { spawnSync } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ROOT } from "./browser.mjs";

const [folder, dtype = "q8", ...flags] = process.argv.slice(2);
const rewritten = flags.includes("--rewritten");
const STEPS = 4;
const ROUNDS = 3;

/** What the package keeps to itself. */
async function internals({ build }) {
  const contents = 'export { splitGraph } from "./engine/onnx_file.js"; export { Pieces } from "./loading/pieces.js";';
  const stdin = { contents, resolveDir: join(ROOT, "web/src"), loader: "ts" };
  const { outputFiles } = await build({ stdin, bundle: true, format: "esm", write: false });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

async function run() {
  const fromWeb = createRequire(join(ROOT, "web/package.json"));
  const ort = await import(pathToFileURL(join(fromWeb.resolve("onnxruntime-web"), "../ort.wasm.min.mjs")).href);
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  const { model } = JSON.parse(readFileSync(join(folder, "lorapress.json"), "utf8"));
  const suffix = dtype === "fp32" ? "" : "_quantized";
  const fileOf = (name) => new Uint8Array(readFileSync(join(folder, "onnx", `${name}${suffix}.onnx`)));
  const options = { executionProviders: ["wasm"], enableProfiling: true };
  const size = JSON.parse(readFileSync(join(folder, "preprocessor_config.json"), "utf8")).size;

  const encoder = await ort.InferenceSession.create(fileOf("encoder_model"), options);
  const pixels = Float32Array.from({ length: 3 * size.height * size.width }, (_, i) => Math.sin(i));
  const dims = [1, 3, size.height, size.width];
  let image;
  for (let round = 0; round < ROUNDS; ++round) {
    const found = await encoder.run({ pixel_values: new ort.Tensor("float32", pixels, dims) });
    image = found.last_hidden_state;
  }
  encoder.endProfiling();

  let graph = fileOf("decoder_model_merged");
  if (rewritten) {
    const { splitGraph, Pieces } = await internals(fromWeb("esbuild"));
    options.externalData = [{ path: "own", data: graph }];
    graph = splitGraph(new Pieces([graph]), "own", model.head_dim).graph;
  }
  const decoder = await ort.InferenceSession.create(graph, options);
  const names = decoder.inputNames.filter((name) => name.startsWith("past_key_values"));
  for (let round = 0; round < ROUNDS; ++round) {
    const empty = () => new ort.Tensor("float32", new Float32Array(0), [1, model.num_key_value_heads, 0, model.head_dim]);
    let cache = Object.fromEntries(names.map((name) => [name, empty()]));
    for (let step = 0; step <= STEPS; ++step) {
      const input_ids = new ort.Tensor("int64", BigInt64Array.of(5n), [1, 1]);
      const found = await decoder.run({ input_ids, encoder_hidden_states: image, ...cache });
      cache = Object.fromEntries(names.map((name) => [name, found[name.replace("past_key_values", "present")]]));
    }
  }
  decoder.endProfiling();
}

/** Of one run: milliseconds by operator. */
function summed(events, { ts, dur }) {
  const sums = new Map();
  for (const { cat, ts: at, dur: us, args } of events) {
    // What runs inside an If is counted for itself.
    if (cat === "Node" && at >= ts && at < ts + dur && args.op_name !== "If") {
      sums.set(args.op_name, (sums.get(args.op_name) ?? 0) + us / 1000);
    }
  }
  return sums;
}

function print(what, runs, events) {
  const best = runs.reduce((least, one) => (one.dur < least.dur ? one : least));
  const sums = [...summed(events, best)].sort(([, a], [, b]) => b - a).slice(0, 8);
  console.log(`${what}: ${(best.dur / 1000).toFixed(0)} ms`);
  for (const [name, ms] of sums) {
    console.log(`  ${ms.toFixed(1).padStart(8)}  ${name}`);
  }
}

if (process.env.LORAPRESS_PROFILED === "1") {
  await run();
} else {
  // The engine writes its profile to standard output; a pipe would be full.
  const scratch = mkdtempSync(join(tmpdir(), "lorapress-profile-"));
  const path = join(scratch, "profile.txt");
  const env = { ...process.env, LORAPRESS_PROFILED: "1" };
  const stdio = ["ignore", openSync(path, "w"), "inherit"];
  const child = spawnSync(process.execPath, process.argv.slice(1), { env, stdio });
  const written = readFileSync(path, "utf8");
  rmSync(scratch, { recursive: true });
  if (child.status !== 0) {
    process.exit(child.status ?? 1);
  }
  const events = [];
  let group = [];
  for (const line of written.split("\n")) {
    if (line.startsWith("{")) {
      group.push(JSON.parse(line.replace(/,$/, "")));
    } else if (line.startsWith("]")) {
      events.push(group);
      group = [];
    }
  }
  const runsOf = (list) => list.filter(({ name }) => name === "model_run").sort((a, b) => a.ts - b.ts);
  const [encoder, decoder] = events;
  print("encoder", runsOf(encoder), encoder);
  const steps = runsOf(decoder);
  print("decoder, the image tokens", steps.filter((_, i) => i % (STEPS + 1) === 0), decoder);
  print("decoder, one token", steps.filter((_, i) => i % (STEPS + 1) > 0), decoder);
}
