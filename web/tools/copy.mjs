#!/usr/bin/env node
// For bundlers that copy no files (esbuild, Rollup): puts what the package loads while it runs beside the bundle.
// For pages and extensions without a bundler, --module: the package itself, too, as modules of the browser.
// In the npm package: `npx lorapress-copy FOLDER`.
// usage: lorapress-copy FOLDER [--cpu] [--module]   FOLDER: that of the bundle; --cpu: nothing for WebGPU
import { cpSync, mkdirSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const CPU = [
  "lorapress/worker.js",
  "lorapress/thread.js",
  "lorapress/engine_relaxed.wasm",
  "lorapress/engine_relaxed_threads.wasm",
  "lorapress/engine_simd128.wasm",
  "lorapress/engine_simd128_threads.wasm",
  "lorapress/cpu.js",
  "onnxruntime-web/ort-wasm-simd-threaded.wasm",
];
const WEBGPU = ["lorapress/webgpu.js", "onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm"];

const FLAGS = ["--cpu", "--module"];

const [cpuOnly, asModule] = FLAGS.map((flag) => process.argv.includes(flag));
const [folder, ...more] = process.argv.slice(2).filter((argument) => !FLAGS.includes(argument));
if (folder === undefined || folder.startsWith("-") || more.length > 0) {
  console.error("usage: lorapress-copy FOLDER [--cpu] [--module]   FOLDER: that of the bundle");
  process.exit(2);
}
const { resolve } = createRequire(import.meta.url);
const here = dirname(fileURLToPath(import.meta.url));
const modules = asModule ? readdirSync(here).filter((name) => name.endsWith(".js")) : [];
for (const path of [...modules, ...CPU, ...(cpuOnly ? [] : WEBGPU)]) {
  const to = join(folder, path);
  mkdirSync(dirname(to), { recursive: true });
  cpSync(path.startsWith("onnxruntime-web/") ? resolve(path) : join(here, path), to);
}
for (const name of ["NOTICE", "THIRD_PARTY_LICENSES"]) {
  cpSync(join(here, name), join(folder, "lorapress", name));
}
console.log(`lorapress-copy: ${folder}/lorapress and ${folder}/onnxruntime-web are there`);
