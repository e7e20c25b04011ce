// The engines' .wasm files in a folder of the page's choice.
import {
  type Device,
  type EngineFiles,
  NATIVE_BUILDS,
  type NativeBuild,
  type OrtFiles,
} from "./engine_api.js";

const ORT_NAMES: Readonly<Record<Device, string>> = {
  wasm: "ort-wasm-simd-threaded.wasm",
  webgpu: "ort-wasm-simd-threaded.asyncify.wasm",
};

/** For each build of the project's own engine what `of` gives. */
export function nativeWasm(
  of: (name: string, build: NativeBuild) => string,
): Record<NativeBuild, string> {
  const entries = NATIVE_BUILDS.map((build) => [build, of(`engine_${build}.wasm`, build)]);
  return Object.fromEntries(entries);
}

/** `files`, but the WebAssembly from the folder `path`, an address relative to the page. */
export function engineFilesIn(path: string | undefined, files: EngineFiles): EngineFiles {
  if (path === undefined) {
    return files;
  }
  const folder = new URL(path.replace(/\/?$/, "/"), globalThis.location?.href);
  const at = (name: string): string => new URL(name, folder).href;
  const ort = (device: Device): OrtFiles => ({
    module: files.onnxruntime[device].module,
    wasm: at(ORT_NAMES[device]),
  });
  return {
    native: { ...files.native, wasm: nativeWasm(at) },
    onnxruntime: { wasm: ort("wasm"), webgpu: ort("webgpu") },
  };
}
