// The table of engines, a row for each.
import type { Engine, EngineFiles, EngineName, EngineRequest } from "./engine_api.js";
import { FallbackEngine } from "./fallback_engine.js";
import { startNative } from "./native_start.js";

export { engineFilesIn } from "./engine_folder.js";

export type StartEngine = (request: EngineRequest) => Promise<Engine>;

const ENGINES: Readonly<
  Record<EngineName, (request: EngineRequest, files: EngineFiles) => Promise<Engine>>
> = {
  native: startNative,
  // A file of its own, which most pages never load.
  ort: async (request, files) => (await import("./ort_start.js")).startOnnxRuntime(request, files),
};

export function engineOf(files: EngineFiles): StartEngine {
  return async (request) => {
    const engine = await ENGINES[request.engine](request, files);
    return request.engine === "native" && request.fallback
      ? new FallbackEngine(engine, () => ENGINES.ort(request, files), request.note)
      : engine;
  };
}
