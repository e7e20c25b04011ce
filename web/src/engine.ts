// Which engine, and where its files are. This file and the engine_* files beside it are the only ones
// that know onnxruntime-web.
import type { Device, Engine, ModelShape } from "./engine_api.js";
import { WasmEngine } from "./engine_wasm.js";
import { WebGpuEngine } from "./engine_webgpu.js";
import { asLorapressError } from "./errors.js";
import type { OrtFactory } from "./ort_module.js";

export interface EngineOptions {
  readonly device: Device;
  readonly shape: ModelShape;
  /** Of WebAssembly; more than one needs a cross-origin isolated page. */
  readonly threads: number;
  /** Folder of the engine's .wasm and .mjs files; by default where its package lies. */
  readonly enginePath?: string | undefined;
}

// Set by tools/bundle.mjs: where the engine's files lie beside the bundle.
declare const LORAPRESS_ENGINE_PATH: string | undefined;

const CPU_MODULE = "ort-wasm-simd-threaded.mjs";

function folderOf(options: EngineOptions): string | undefined {
  const beside =
    typeof LORAPRESS_ENGINE_PATH === "string"
      ? new URL(LORAPRESS_ENGINE_PATH, import.meta.url).href
      : undefined;
  return options.enginePath ?? beside;
}

export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { device, shape, threads } = options;
  const folder = folderOf(options);
  try {
    if (device === "wasm") {
      const at = folder === undefined ? undefined : folderHref(folder);
      return await WasmEngine.start(await importCpuBuild(at, threads), shape, threads, at);
    }
    // A literal name, so that bundlers see it.
    return new WebGpuEngine(await import("onnxruntime-web/webgpu"), shape, threads, folder);
  } catch (error) {
    throw asLorapressError(error, "runtime", "cannot load onnxruntime-web");
  }
}

/** With a slash at the end; relative to the page, as an address in it. */
function folderHref(folder: string): string {
  return new URL(folder.replace(/\/?$/, "/"), globalThis.location?.href ?? import.meta.url).href;
}

async function importCpuBuild(folder: string | undefined, threads: number): Promise<OrtFactory> {
  if (typeof LORAPRESS_ENGINE_PATH !== "string" && folder === undefined) {
    const found = await import("onnxruntime-web/ort-wasm-simd-threaded.mjs");
    return found.default;
  }
  const url = `${folder}${CPU_MODULE}`;
  // Threads are workers of the module's own address, and workers of another origin are refused.
  const { origin } = globalThis.location ?? {};
  const copied = threads > 1 && origin !== undefined && new URL(url).origin !== origin;
  const at = copied ? URL.createObjectURL(await (await fetch(url)).blob()) : url;
  const found: { default: OrtFactory } = await import(
    /* @vite-ignore */ /* webpackIgnore: true */ at
  );
  return found.default;
}
