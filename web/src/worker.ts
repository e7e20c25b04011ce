// The worker's side: a LocalBackend that is driven by messages.
import type { Backend } from "./backend.js";
import { engineOf } from "./engine/engine.js";
import type { LoadProgress } from "./loading/progress.js";
import { LocalBackend } from "./local.js";
import { type FromWorker, type ToWorker, toWire } from "./protocol.js";

interface Scope {
  postMessage(message: FromWorker): void;
  addEventListener(type: "message", listener: (event: MessageEvent<ToWorker>) => void): void;
}

/** Serves the page behind `scope`. */
export function serve(scope: Scope): void {
  const running = new Map<number, AbortController>();
  const stop = new AbortController();
  let backend: Backend | undefined;
  const post = (message: FromWorker): void => scope.postMessage(message);

  const load = async (message: ToWorker & { type: "load" }): Promise<void> => {
    try {
      const options = {
        ...message.options,
        signal: stop.signal,
        onProgress: (progress: LoadProgress) => post({ type: "progress", progress }),
      };
      backend = await LocalBackend.load(message.url, options, engineOf(message.files));
    } catch (error) {
      post({ type: "refused", error: toWire(error) });
      return;
    }
    post({ type: "loaded", info: backend.info });
    backend.ready.then(
      () => post({ type: "ready" }),
      (error: unknown) => post({ type: "unready", error: toWire(error) }),
    );
  };

  const caption = async (message: ToWorker & { type: "caption" }): Promise<void> => {
    const { id, picture, options } = message;
    const controller = new AbortController();
    running.set(id, controller);
    try {
      if (backend === undefined) {
        throw new Error("a caption before the model");
      }
      const onPiece = (text: string): void => post({ type: "piece", id, text });
      const done = await backend.run(picture, options, controller.signal, onPiece);
      post({ type: "done", id, caption: done });
    } catch (error) {
      post({ type: "failed", id, error: toWire(error) });
    } finally {
      running.delete(id);
    }
  };

  const dispose = async (): Promise<void> => {
    stop.abort();
    for (const controller of running.values()) {
      controller.abort();
    }
    await backend?.dispose();
    post({ type: "disposed" });
  };

  scope.addEventListener("message", ({ data }) => {
    if (data.type === "load") {
      void load(data);
    } else if (data.type === "caption") {
      void caption(data);
    } else if (data.type === "abort") {
      running.get(data.id)?.abort();
    } else if (data.type === "dispose") {
      void dispose();
    }
  });
}

if ("WorkerGlobalScope" in globalThis) {
  serve(globalThis as unknown as Scope);
}
