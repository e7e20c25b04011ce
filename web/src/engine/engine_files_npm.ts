// As engine_files.ts, in the npm package, where a bundler puts the files: Vite, webpack, Parcel and Turbopack copy a file
// that appears as `new URL("literal", import.meta.url)` unchanged and insert its new address here. esbuild and
// Rollup leave the expressions alone: `lorapress-copy` (tools/copy.mjs) puts the same paths beside the bundle.
import type { EngineFiles } from "./engine_api.js";

// esbuild's default format has no import.meta.
const script: string | undefined = (globalThis.document?.currentScript as HTMLScriptElement | null)
  ?.src;

function address(find: () => URL, path: string): string {
  try {
    return find().href;
  } catch {
    return new URL(path, script || globalThis.location?.href).href;
  }
}

export { compileWasm } from "./wasm_file.js";

export function workerUrl(): string {
  const worker = "lorapress/worker.js";
  return address(() => new URL("./lorapress/worker.js", import.meta.url), worker);
}

export function engineFiles(): EngineFiles {
  return {
    native: {
      wasm: {
        relaxed: address(
          () => new URL("./lorapress/engine_relaxed.wasm", import.meta.url),
          "lorapress/engine_relaxed.wasm",
        ),
        relaxed_threads: address(
          () => new URL("./lorapress/engine_relaxed_threads.wasm", import.meta.url),
          "lorapress/engine_relaxed_threads.wasm",
        ),
        simd128: address(
          () => new URL("./lorapress/engine_simd128.wasm", import.meta.url),
          "lorapress/engine_simd128.wasm",
        ),
        simd128_threads: address(
          () => new URL("./lorapress/engine_simd128_threads.wasm", import.meta.url),
          "lorapress/engine_simd128_threads.wasm",
        ),
      },
      thread: address(
        () => new URL("./lorapress/thread.js", import.meta.url),
        "lorapress/thread.js",
      ),
    },
    onnxruntime: {
      wasm: {
        module: address(() => new URL("./lorapress/cpu.js", import.meta.url), "lorapress/cpu.js"),
        wasm: address(
          () => new URL("onnxruntime-web/ort-wasm-simd-threaded.wasm", import.meta.url),
          "onnxruntime-web/ort-wasm-simd-threaded.wasm",
        ),
      },
      webgpu: {
        module: address(
          () => new URL("./lorapress/webgpu.js", import.meta.url),
          "lorapress/webgpu.js",
        ),
        wasm: address(
          () => new URL("onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm", import.meta.url),
          "onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm",
        ),
      },
    },
  };
}
