// Which engine, and how its files are loaded. Only this folder knows onnxruntime-web.

import { asLorapressError } from "../errors.js";
import { requireServed } from "../loading/served.js";
import type { Device, Engine, EngineFiles, ModelShape } from "./engine_api.js";
import { WasmEngine } from "./engine_wasm.js";
import { WebGpuEngine } from "./engine_webgpu.js";
import type { OrtFactory } from "./ort_module.js";

export interface EngineOptions {
  readonly device: Device;
  readonly shape: ModelShape;
  /** Of WebAssembly; more than one needs a cross-origin isolated page. */
  readonly threads: number;
  readonly files: EngineFiles;
}

const WASM_NAMES: Readonly<Record<Device, string>> = {
  wasm: "ort-wasm-simd-threaded.wasm",
  webgpu: "ort-wasm-simd-threaded.asyncify.wasm",
};

/** `files`, but the WebAssembly from the folder `path`, an address relative to the page. */
export function engineFilesIn(path: string | undefined, files: EngineFiles): EngineFiles {
  if (path === undefined) {
    return files;
  }
  const folder = new URL(path.replace(/\/?$/, "/"), globalThis.location?.href);
  const from = (device: Device): EngineFiles[Device] => ({
    module: files[device].module,
    wasm: new URL(WASM_NAMES[device], folder).href,
  });
  return { wasm: from("wasm"), webgpu: from("webgpu") };
}

export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { device, shape, threads, files } = options;
  const { module, wasm } = files[device];
  try {
    // Bundlers leave this import alone: the module stands where it stands, and its threads start from there.
    // A template, since Vite's development server puts its client into workers that import a variable.
    const found = await import(/* @vite-ignore */ /* webpackIgnore: true */ `${module}`);
    return device === "wasm"
      ? await WasmEngine.start(found.default as OrtFactory, shape, threads, wasm)
      : new WebGpuEngine(found as typeof import("onnxruntime-web"), shape, threads, wasm);
  } catch (error) {
    await requireServed([module, wasm]);
    throw asLorapressError(error, "runtime", "cannot load onnxruntime-web");
  }
}
