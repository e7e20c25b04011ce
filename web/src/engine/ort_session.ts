// A graph that onnxruntime-web's CPU build has loaded.
import type { Session } from "./ort_engine.js";
import { elementType, type HeapTensor, type OrtHeap } from "./ort_heap.js";
import type { HeapFile } from "./ort_heap_file.js";
import { LOG_ERRORS, POINTER_BYTES } from "./ort_module.js";
import type { Port } from "./ports.js";

const OPTIMIZE_ALL = 99;
const OPTIONS = [OPTIMIZE_ALL, false, false, 0, false, 0, 0, LOG_ERRORS, 0, 0] as const;

export class OrtSession implements Session<HeapTensor> {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  private readonly heap: OrtHeap;
  private readonly handle: number;
  private readonly names: Map<string, number> = new Map();

  private constructor(heap: OrtHeap, handle: number) {
    const { module } = heap;
    this.heap = heap;
    this.handle = handle;
    const stack = module.stackSave();
    const at = module.stackAlloc(2 * POINTER_BYTES);
    heap.check(module._OrtGetInputOutputCount(handle, at, at + POINTER_BYTES), "no ports");
    const [inputs, outputs] = [0, 1].map((i) => module.HEAPU32[at / POINTER_BYTES + i] as number);
    module.stackRestore(stack);
    const ports = Array.from({ length: (inputs ?? 0) + (outputs ?? 0) }, (_, i) => this.port(i));
    this.inputs = ports.slice(0, inputs);
    this.outputs = ports.slice(inputs);
  }

  /** `weights`: the files that the graph says its weights are in, by name. */
  static async open(
    heap: OrtHeap,
    graph: Uint8Array,
    weights: ReadonlyMap<string, HeapFile>,
  ): Promise<OrtSession> {
    const { module } = heap;
    const options = module._OrtCreateSessionOptions(...OPTIONS);
    const model = heap.allocate(graph.length);
    module.HEAPU8.set(graph, model);
    for (const [name, file] of weights) {
      module.mountExternalData(name, file);
    }
    try {
      const handle = await module._OrtCreateSession(model, graph.length, options);
      heap.check(handle === 0 ? 1 : 0, "cannot make a session");
      return new OrtSession(heap, handle);
    } finally {
      module.unmountExternalData();
      module._free(model);
      module._OrtReleaseSessionOptions(options);
    }
  }

  /** In the order of `outputs`; the caller releases them. */
  async run(
    inputs: readonly (readonly [string, HeapTensor])[],
    outputs: readonly string[],
  ): Promise<HeapTensor[]> {
    const { heap } = this;
    const { module } = heap;
    const list = heap.allocate(2 * (inputs.length + outputs.length) * POINTER_BYTES);
    const words = module.HEAPU32;
    const at = list / POINTER_BYTES;
    const handles = at + inputs.length;
    const outNames = handles + inputs.length;
    const results = outNames + outputs.length;
    for (const [i, [name, tensor]] of inputs.entries()) {
      words[at + i] = this.names.get(name) as number;
      words[handles + i] = tensor.handle;
    }
    for (const [i, name] of outputs.entries()) {
      words[outNames + i] = this.names.get(name) as number;
      words[results + i] = 0;
    }
    try {
      const code = await module._OrtRun(
        this.handle,
        list,
        handles * POINTER_BYTES,
        inputs.length,
        outNames * POINTER_BYTES,
        outputs.length,
        results * POINTER_BYTES,
        0,
      );
      heap.check(code, "the run failed");
      // The heap may have grown.
      const found = module.HEAPU32.subarray(results, results + outputs.length);
      return Array.from(found, (handle) => ({ handle, owned: 0 }));
    } finally {
      module._free(list);
    }
  }

  release(): void {
    const { module } = this.heap;
    module._OrtReleaseSession(this.handle);
    for (const at of this.names.values()) {
      module._OrtFree(at);
    }
    this.names.clear();
  }

  // About a port: type, rank, a name (or 0) for each axis, then a size for each.
  private port(index: number): Port {
    const { heap } = this;
    const { module } = heap;
    const stack = module.stackSave();
    try {
      const at = module.stackAlloc(2 * POINTER_BYTES);
      heap.check(
        module._OrtGetInputOutputMetadata(this.handle, index, at, at + POINTER_BYTES),
        "no port",
      );
      const [nameAt = 0, about = 0] = module.HEAPU32.subarray(
        at / POINTER_BYTES,
        at / POINTER_BYTES + 2,
      );
      const name = module.UTF8ToString(nameAt);
      this.names.set(name, nameAt);
      const [code = 0, rank = 0, ...rest] = module.HEAPU32.subarray(
        about / POINTER_BYTES,
        about / POINTER_BYTES + 2 + 2 * 16,
      );
      const dims = Array.from({ length: code === 0 ? 0 : rank }, (_, i) => {
        const symbol = rest[i] ?? 0;
        return symbol === 0 ? (rest[i + rank] ?? 0) : module.UTF8ToString(symbol);
      });
      module._OrtFree(about);
      return { name, type: elementType(code), dims };
    } finally {
      module.stackRestore(stack);
    }
  }
}
