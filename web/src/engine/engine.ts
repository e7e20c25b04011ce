// The table of engines, a row for each.
import type { Engine, EngineFiles, EngineRequest } from "./engine_api.js";
import { startOnnxRuntime } from "./ort_start.js";

export { engineFilesIn } from "./ort_start.js";

export type EngineName = "onnxruntime";
export type StartEngine = (request: EngineRequest) => Promise<Engine>;

const ENGINES: Readonly<
  Record<EngineName, (request: EngineRequest, files: EngineFiles) => Promise<Engine>>
> = {
  onnxruntime: startOnnxRuntime,
};

export function engineOf(files: EngineFiles, name: EngineName = "onnxruntime"): StartEngine {
  return (request) => ENGINES[name](request, files);
}
