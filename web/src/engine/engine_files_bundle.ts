// As engine_files.ts, for the bundle of tools/bundle.mjs: the files lie beside it.
import type { EngineFiles } from "./engine_api.js";
import { nativeWasm } from "./engine_folder.js";

export { compileWasm } from "./wasm_file.js";

const at = (path: string): string => new URL(path, import.meta.url).href;

export function workerUrl(): string {
  return at("worker.js");
}

export function engineFiles(): EngineFiles {
  return {
    native: { wasm: nativeWasm((name) => at(`engine/${name}`)), thread: at("engine/thread.js") },
    onnxruntime: {
      wasm: { module: at("ort/cpu.js"), wasm: at("ort/ort-wasm-simd-threaded.wasm") },
      webgpu: { module: at("ort/webgpu.js"), wasm: at("ort/ort-wasm-simd-threaded.asyncify.wasm") },
    },
  };
}
