// Loads one of onnxruntime-web's two builds, from where the page's bundler has put it.
import { asLorapressError } from "../errors.js";
import { requireServed } from "../loading/served.js";
import type { Engine, EngineFiles, EngineRequest } from "./engine_api.js";
import type { OrtFactory } from "./ort_module.js";
import { WasmEngine } from "./ort_wasm.js";
import { WebGpuEngine } from "./ort_webgpu.js";

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
