// A thread of the project's own engine: takes parts of the first thread's work until its worker is ended.
import { importsOf, type NativeExports } from "./native_module.js";

/** What the first thread sends. */
export interface ThreadStart {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly index: number;
  readonly stack: number;
}

globalThis.addEventListener("message", ({ data }: MessageEvent<ThreadStart>) => {
  const { module, memory, index, stack } = data;
  const instance = new WebAssembly.Instance(module, importsOf(undefined, memory));
  const exports = instance.exports as unknown as NativeExports;
  (exports.__stack_pointer as WebAssembly.Global).value = stack;
  exports.lp_worker_run(index);
});
