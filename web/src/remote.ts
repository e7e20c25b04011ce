// The page's side of a captioner in a worker.
import type { Backend, BackendInfo, Caption, LocalOptions } from "./backend.js";
import type { EngineFiles } from "./engine/engine_api.js";
import { LorapressError } from "./errors.js";
import type { GenerateOptions } from "./generation/generate_options.js";
import type { Picture } from "./image/picture.js";
import type { ProgressListener } from "./loading/progress.js";
import { requireServed } from "./loading/served.js";
import { type FromWorker, fromWire, type ToWorker, transfersOf } from "./protocol.js";

interface Job {
  readonly resolve: (caption: Caption) => void;
  readonly reject: (error: Error) => void;
  readonly onPiece: (piece: string) => void;
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}

export class WorkerBackend implements Backend {
  readonly ready: Promise<void>;
  private readonly worker: Worker;
  /** The address of the worker's module, where it was started from one. */
  private readonly address: string | undefined;
  private readonly onProgress: ProgressListener | undefined;
  private readonly loaded: Deferred<BackendInfo> = deferred();
  private readonly readiness: Deferred<void> = deferred();
  private readonly disposed: Deferred<void> = deferred();
  private readonly jobs = new Map<number, Job>();
  private known: BackendInfo | undefined;
  private nextId = 0;
  private broken: Error | undefined;

  private constructor(
    worker: Worker,
    address: string | undefined,
    onProgress: ProgressListener | undefined,
  ) {
    this.worker = worker;
    this.address = address;
    this.onProgress = onProgress;
    this.ready = this.readiness.promise;
    worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => this.receive(data));
    worker.addEventListener("error", ({ message }) => void this.explain(message));
  }

  static async load(
    url: string | URL,
    options: LocalOptions,
    files: EngineFiles,
    given: Worker | string,
  ): Promise<WorkerBackend> {
    const { onProgress, signal, fetch: _, ...rest } = options;
    signal?.throwIfAborted();
    const own = typeof given === "string";
    const worker = own ? new Worker(given, { type: "module", name: "lorapress" }) : given;
    const backend = new WorkerBackend(worker, own ? given : undefined, onProgress);
    const stop = (): void => backend.close(signal?.reason as Error);
    signal?.addEventListener("abort", stop, { once: true });
    const folder = new URL(url, globalThis.location?.href).href; // the worker's own address differs
    backend.post({ type: "load", url: folder, options: rest, files });
    try {
      backend.known = await backend.loaded.promise;
    } catch (error) {
      worker.terminate();
      throw error;
    }
    const forget = (): void => signal?.removeEventListener("abort", stop);
    backend.ready.then(forget, forget);
    return backend;
  }

  get info(): BackendInfo {
    if (this.known === undefined) {
      throw new Error("asked before it is loaded");
    }
    return this.known;
  }

  run(
    picture: Picture | undefined,
    options: GenerateOptions,
    signal: AbortSignal,
    onPiece: (piece: string) => void,
  ): Promise<Caption> {
    const refused = this.broken ?? (signal.aborted ? (signal.reason as Error) : undefined);
    if (refused !== undefined) {
      return Promise.reject(refused);
    }
    const id = this.nextId++;
    const { promise, resolve, reject } = deferred<Caption>();
    const stop = (): void => {
      this.post({ type: "abort", id });
      this.removeJob(id);
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", stop, { once: true });
    this.jobs.set(id, { resolve, reject, onPiece });
    this.post({ type: "caption", id, picture, options }, transfersOf(picture));
    return promise.finally(() => signal.removeEventListener("abort", stop));
  }

  async dispose(): Promise<void> {
    if (this.broken === undefined) {
      this.post({ type: "dispose" });
      await this.disposed.promise;
    }
    this.close(new DOMException("the captioner is disposed", "AbortError"));
  }

  private post(message: ToWorker, transfers: Transferable[] = []): void {
    this.worker.postMessage(message, transfers);
  }

  /** The worker failed; for a missing module there is no `message`. */
  private async explain(message: string): Promise<void> {
    const reason = message || "its module cannot be loaded";
    try {
      await requireServed(message || this.address === undefined ? [] : [this.address]);
      this.close(new LorapressError("runtime", `the worker failed: ${reason}`));
    } catch (error) {
      this.close(error as Error);
    }
  }

  // No further message will come from the worker.
  private close(error: Error): void {
    this.broken ??= error;
    this.worker.terminate();
    this.loaded.reject(error);
    this.readiness.reject(error);
    this.disposed.resolve();
    for (const job of this.jobs.values()) {
      job.reject(error);
    }
    this.jobs.clear();
  }

  private receive(message: FromWorker): void {
    switch (message.type) {
      case "loaded":
        this.loaded.resolve(message.info);
        break;
      case "refused":
        this.loaded.reject(fromWire(message.error));
        break;
      case "ready":
        this.readiness.resolve();
        break;
      case "unready":
        this.readiness.reject(fromWire(message.error));
        break;
      case "progress":
        this.onProgress?.(message.progress);
        break;
      case "piece":
        this.jobs.get(message.id)?.onPiece(message.text);
        break;
      case "done":
        this.removeJob(message.id)?.resolve(message.caption);
        break;
      case "failed":
        this.removeJob(message.id)?.reject(fromWire(message.error));
        break;
      case "disposed":
        this.disposed.resolve();
        break;
    }
  }

  private removeJob(id: number): Job | undefined {
    const job = this.jobs.get(id);
    this.jobs.delete(id);
    return job;
  }
}
