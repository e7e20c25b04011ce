// Loads the build of the project's own engine that this browser runs fastest.
import { asLorapressError } from "../errors.js";
import { requireServed } from "../loading/served.js";
import type { Engine, EngineFiles, EngineRequest, NativeBuild } from "./engine_api.js";
import { compileWasm } from "./engine_files.js";
import { NativeEngine } from "./native_engine.js";
import { NativeInstance } from "./native_instance.js";

// (module (func (result v128) i32.const 0 i8x16.splat i32.const 0 i8x16.splat i16x8.relaxed_dot_i8x16_i7x16_s))
const RELAXED = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0],
  ...[10, 15, 1, 13, 0, 65, 0, 253, 15, 65, 0, 253, 15, 253, 146, 2, 11],
);

export function nativeBuild(threads: number): NativeBuild {
  const vectors = WebAssembly.validate(RELAXED) ? "relaxed" : "simd128";
  return threads > 1 ? `${vectors}_threads` : vectors;
}

export async function startNative(request: EngineRequest, files: EngineFiles): Promise<Engine> {
  const { shape, threads, keepEncoder, note } = request;
  const { wasm, thread } = files.native;
  const build = nativeBuild(threads);
  try {
    const module = await compileWasm(wasm[build]);
    const start = (): Promise<NativeInstance> =>
      NativeInstance.start({ module, shared: threads > 1, threads, thread, shape, note });
    return await NativeEngine.start(shape, keepEncoder, start);
  } catch (error) {
    await requireServed([wasm[build]]);
    throw asLorapressError(error, "runtime", "cannot load the engine");
  }
}
