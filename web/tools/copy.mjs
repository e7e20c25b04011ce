#!/usr/bin/env node
// For bundlers that copy no files (esbuild, Rollup): puts what the package loads while it runs beside the bundle.
// In the npm package: `npx lorapress-copy FOLDER`.
// usage: lorapress-copy FOLDER [--cpu]   FOLDER: that of the bundle; --cpu: nothing for WebGPU
import { cpSync, mkdirSync } from "node:fs";
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

const cpuOnly = process.argv.includes("--cpu");
const [folder, ...more] = process.argv.slice(2).filter((argument) => argument !== "--cpu");
if (folder === undefined || folder.startsWith("-") || more.length > 0) {
  console.error("usage: lorapress-copy FOLDER [--cpu]   FOLDER: that of the bundle");
  process.exit(2);
}
const { resolve } = createRequire(import.meta.url);
const here = dirname(fileURLToPath(import.meta.url));
for (const path of cpuOnly ? CPU : [...CPU, ...WEBGPU]) {
  const to = join(folder, path);
  mkdirSync(dirname(to), { recursive: true });
  cpSync(path.startsWith("onnxruntime-web/") ? resolve(path) : join(here, path), to);
}
console.log(`lorapress-copy: ${folder}/lorapress and ${folder}/onnxruntime-web are there`);
