// Opens a folder, in this thread or in a worker.
import type { Backend, BackendOptions } from "./backend.js";
import { engineFilesIn, engineOf } from "./engine/engine.js";
import { engineFiles, workerUrl } from "./engine/engine_files.js";
import type { Fetch } from "./loading/fetch.js";
import type { ProgressListener } from "./loading/progress.js";
import { LocalBackend } from "./local.js";
import { WorkerBackend } from "./remote.js";

export interface LoadOptions extends BackendOptions {
  /** true (default where there are workers), false (this thread), or a worker of lorapress/worker. */
  readonly worker?: boolean | Worker | undefined;
  readonly onProgress?: ProgressListener | undefined;
  /** Stops loading; once the model is ready, use dispose(). */
  readonly signal?: AbortSignal | undefined;
  /** Instead of the global fetch; only without a worker. */
  readonly fetch?: Fetch | undefined;
}

/** `url`: the folder, relative to the page. */
export async function openBackend(url: string | URL, options: LoadOptions): Promise<Backend> {
  const { worker = hasModuleWorkers() && options.fetch === undefined, ...rest } = options;
  const files = engineFilesIn(options.enginePath, engineFiles());
  if (worker === false) {
    return LocalBackend.load(url, rest, engineOf(files));
  }
  const given = worker === true ? workerUrl() : worker;
  return WorkerBackend.load(url, rest, files, given);
}

// Not Node, where the engine defines a Worker of another kind.
function hasModuleWorkers(): boolean {
  return typeof Worker === "function" && globalThis.location !== undefined;
}
