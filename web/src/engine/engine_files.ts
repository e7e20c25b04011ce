// Where the package's other files are: in Node, where npm installed them. tools/package.mjs and tools/bundle.mjs
// replace this file by engine_files_npm.ts and engine_files_bundle.ts.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import type { EngineFiles } from "./engine_api.js";
import { nativeWasm } from "./engine_folder.js";

// Of the package; without it, in the source tree, where tools/engine_wasm.sh has built it.
declare const LORAPRESS_ENGINE: string | undefined;
const NATIVE: string =
  typeof LORAPRESS_ENGINE === "string" ? LORAPRESS_ENGINE : "../../../build-wasm/engine/";

const BUILDS = {
  wasm: "ort-wasm-simd-threaded",
  webgpu: "ort-wasm-simd-threaded.asyncify",
} as const;

/** The address of the worker's module. */
export function workerUrl(): string {
  return new URL("../worker.js", import.meta.url).href;
}

export function engineFiles(): EngineFiles {
  const { resolve } = createRequire(import.meta.url);
  const at = (file: string): string => pathToFileURL(resolve(`onnxruntime-web/${file}`)).href;
  const cpu = at(`${BUILDS.wasm}.mjs`);
  const webgpu = new URL("ort.webgpu.bundle.min.mjs", cpu).href;
  const native = (file: string): string => new URL(`${NATIVE}${file}`, import.meta.url).href;
  return {
    native: { wasm: nativeWasm(native), thread: native("thread.js") },
    onnxruntime: {
      wasm: { module: cpu, wasm: at(`${BUILDS.wasm}.wasm`) },
      webgpu: { module: webgpu, wasm: at(`${BUILDS.webgpu}.wasm`) },
    },
  };
}

export async function compileWasm(url: string): Promise<WebAssembly.Module> {
  return WebAssembly.compile(await readFile(new URL(url)));
}
