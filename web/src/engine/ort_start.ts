// Loads one of onnxruntime-web's two builds, from where the page's bundler has put it.
import { asLorapressError } from "../errors.js";
import { requireServed } from "../loading/served.js";
import type { Device, Engine, EngineFiles, EngineRequest, OrtFiles } from "./engine_api.js";
import type { OrtFactory } from "./ort_module.js";
import { WasmEngine } from "./ort_wasm.js";
import { WebGpuEngine } from "./ort_webgpu.js";

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
  const from = (device: Device): OrtFiles => ({
    module: files.onnxruntime[device].module,
    wasm: new URL(WASM_NAMES[device], folder).href,
  });
  return { ...files, onnxruntime: { wasm: from("wasm"), webgpu: from("webgpu") } };
}

export async function startOnnxRuntime(
  { device, shape, threads }: EngineRequest,
  files: EngineFiles,
): Promise<Engine> {
  const { module, wasm } = files.onnxruntime[device];
  try {
    // Bundlers leave this import alone: the module keeps its address, from which its threads start.
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
