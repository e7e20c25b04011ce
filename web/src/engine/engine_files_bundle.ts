// As engine_files.ts, for the bundle of tools/bundle.mjs: the files lie beside it.
import type { EngineFiles } from "./engine_api.js";

const at = (path: string): string => new URL(path, import.meta.url).href;

export function workerUrl(): string {
  return at("worker.js");
}

export function engineFiles(): EngineFiles {
  return {
    onnxruntime: {
      wasm: { module: at("ort/cpu.js"), wasm: at("ort/ort-wasm-simd-threaded.wasm") },
      webgpu: { module: at("ort/webgpu.js"), wasm: at("ort/ort-wasm-simd-threaded.asyncify.wasm") },
    },
  };
}
