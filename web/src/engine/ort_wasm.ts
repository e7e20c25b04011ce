// onnxruntime-web's CPU build, one step below its JavaScript. There, results can stay where they are and
// be the next run's inputs, and files arrive in the heap; through the JavaScript every tensor is copied
// into the heap before a run and out of it afterwards.
import { fail } from "../errors.js";
import type { Pieces, Range } from "../loading/pieces.js";
import type { MountedFile, OrtFactory, OrtModule } from "./ort_module.js";

/** TensorProto.DataType. */
export const FLOAT = 1;
export const INT64 = 7;
export const FLOAT16 = 10;
const BYTES: Readonly<Record<number, number>> = { [FLOAT]: 4, [INT64]: 8, [FLOAT16]: 2 };

const POINTER_BYTES = 4;
const OPTIMIZE_ALL = 99;
const LOG_ERRORS = 3;
const ON_CPU = 1;

/** Smaller weights are read more than once: scales that two nodes share. */
const KEPT_BYTES = 2 ** 20;

/** A tensor of the engine. `owned`: memory of ours that it lies in, if it does. */
export interface HeapTensor {
  readonly handle: number;
  readonly owned: number;
}

export interface TensorView {
  readonly type: number;
  readonly dims: readonly number[];
  /** Valid until the tensor is released. */
  readonly bytes: Uint8Array<ArrayBufferLike>;
}

export interface Port {
  readonly name: string;
  readonly type: number;
  readonly dims: readonly (number | string)[];
}

export class OrtHeap {
  private readonly module: OrtModule;

  private constructor(module: OrtModule) {
    this.module = module;
  }

  /** `wasm`: the address of the engine's WebAssembly. */
  static async start(factory: OrtFactory, threads: number, wasm: string): Promise<OrtHeap> {
    const module = await factory({ numThreads: threads, locateFile: () => wasm });
    const heap = new OrtHeap(module);
    heap.check(module._OrtInit(threads, LOG_ERRORS), "cannot start");
    return heap;
  }

  /** `weights`: the files that the graph says its weights are in, by name. */
  async open(graph: Uint8Array, weights: ReadonlyMap<string, HeapFile>): Promise<OrtSession> {
    const { module } = this;
    const options = module._OrtCreateSessionOptions(
      OPTIMIZE_ALL,
      false,
      false,
      0,
      false,
      0,
      0,
      LOG_ERRORS,
      0,
      0,
    );
    const model = this.allocate(graph.length);
    module.HEAPU8.set(graph, model);
    for (const [name, file] of weights) {
      module.mountExternalData(name, file);
    }
    try {
      const handle = await module._OrtCreateSession(model, graph.length, options);
      this.check(handle === 0 ? 1 : 0, "cannot make a session");
      return new OrtSession(module, this, handle);
    } finally {
      module.unmountExternalData();
      module._free(model);
      module._OrtReleaseSessionOptions(options);
    }
  }

  /** `ranges` of a file, moved here piece by piece; `file` is used up unless `keep`. */
  mount(file: Pieces, ranges: readonly Range[], keep: boolean): HeapFile {
    const mounted = new HeapFile(this.module, file.size, keep);
    for (const [begin, end] of [...ranges].sort(([a], [b]) => a - b)) {
      const at = this.allocate(end - begin);
      mounted.add(begin, at, end - begin);
      let from = begin;
      for (const view of file.views(begin, end)) {
        this.module.HEAPU8.set(view, at + from - begin);
        from += view.length;
        if (!keep) {
          file.drop(from);
        }
      }
    }
    file.drop(keep ? 0 : file.size);
    return mounted;
  }

  /** Room for a tensor's values, which `fill` writes. */
  tensor(
    type: number,
    dims: readonly number[],
    fill: (bytes: Uint8Array<ArrayBufferLike>) => void,
  ): HeapTensor {
    const { module } = this;
    const bytes = dims.reduce(
      (product, size) => product * size,
      BYTES[type] ?? fail("unsupported", `tensor type ${type}`),
    );
    const owned = this.allocate(Math.max(bytes, 1));
    fill(module.HEAPU8.subarray(owned, owned + bytes));
    const stack = module.stackSave();
    try {
      const shape = module.stackAlloc(dims.length * POINTER_BYTES);
      for (const [i, size] of dims.entries()) {
        module.HEAPU32[shape / POINTER_BYTES + i] = size;
      }
      const handle = module._OrtCreateTensor(type, owned, bytes, shape, dims.length, ON_CPU);
      this.check(handle === 0 ? 1 : 0, "cannot make a tensor");
      return { handle, owned };
    } finally {
      module.stackRestore(stack);
    }
  }

  release(tensor: HeapTensor): void {
    this.module._OrtReleaseTensor(tensor.handle);
    if (tensor.owned !== 0) {
      this.module._free(tensor.owned);
    }
  }

  view(tensor: HeapTensor): TensorView {
    const { module } = this;
    const stack = module.stackSave();
    try {
      const at = module.stackAlloc(4 * POINTER_BYTES) / POINTER_BYTES;
      const out = (i: number): number => (at + i) * POINTER_BYTES;
      this.check(
        module._OrtGetTensorData(tensor.handle, out(0), out(1), out(2), out(3)),
        "cannot read a tensor",
      );
      const words = module.HEAPU32;
      const [type, data, shape, rank] = [0, 1, 2, 3].map((i) => words[at + i] as number) as [
        number,
        number,
        number,
        number,
      ];
      const dims = Array.from(words.subarray(shape / POINTER_BYTES, shape / POINTER_BYTES + rank));
      module._OrtFree(shape);
      const size = dims.reduce((product, dim) => product * dim, BYTES[type] ?? 0);
      return { type, dims, bytes: module.HEAPU8.subarray(data, data + size) };
    } finally {
      module.stackRestore(stack);
    }
  }

  /** Memory of the heap for bytes that arrive; whoever has it frees it. */
  room(bytes: number): Uint8Array<ArrayBufferLike> {
    const at = this.allocate(bytes);
    return this.module.HEAPU8.subarray(at, at + bytes);
  }

  freeRoom(room: Uint8Array): void {
    this.module._free(room.byteOffset);
  }

  allocate(bytes: number): number {
    const at = this.module._malloc(bytes);
    if (at === 0) {
      fail("io", `the engine has no memory for ${bytes} bytes more; try a smaller dtype`);
    }
    return at;
  }

  /** Throws when `code` is not 0. */
  check(code: number, what: string): void {
    if (code === 0) {
      return;
    }
    const { module } = this;
    const stack = module.stackSave();
    try {
      const at = module.stackAlloc(2 * POINTER_BYTES);
      module._OrtGetLastError(at, at + POINTER_BYTES);
      const message = module.HEAPU32[at / POINTER_BYTES + 1] ?? 0;
      const reason = message === 0 ? "no reason given" : module.UTF8ToString(message);
      fail("runtime", `${what}: ${reason}`);
    } finally {
      module.stackRestore(stack);
    }
  }
}

/**
 * The weights of a file, in the heap: a block for each. The engine asks for them one by one, in no order;
 * a large one is freed when it asks for the next, so that a model is there once and not twice.
 */
export class HeapFile implements MountedFile {
  readonly byteLength: number;
  /** Asked for again after it was freed. */
  missed = false;
  private readonly module: OrtModule;
  private readonly keep: boolean;
  private readonly blocks = new Map<number, readonly [at: number, bytes: number]>();
  private used: number | undefined;

  constructor(module: OrtModule, bytes: number, keep: boolean) {
    this.module = module;
    this.byteLength = bytes;
    this.keep = keep;
  }

  add(begin: number, at: number, bytes: number): void {
    this.blocks.set(begin, [at, bytes]);
  }

  subarray(begin: number, end: number): Uint8Array<ArrayBufferLike> {
    if (this.used !== undefined) {
      this.free(this.used);
      this.used = undefined;
    }
    const block = this.blocks.get(begin);
    if (block === undefined || block[1] !== end - begin) {
      this.missed = true;
      throw new RangeError(`no weight at ${begin} to ${end}`);
    }
    const [at, bytes] = block;
    if (!this.keep && bytes > KEPT_BYTES) {
      this.used = begin;
    }
    return this.module.HEAPU8.subarray(at, at + bytes);
  }

  dispose(): void {
    for (const begin of [...this.blocks.keys()]) {
      this.free(begin);
    }
  }

  private free(begin: number): void {
    const block = this.blocks.get(begin);
    if (block !== undefined) {
      this.module._free(block[0]);
      this.blocks.delete(begin);
    }
  }
}

export class OrtSession {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  private readonly module: OrtModule;
  private readonly heap: OrtHeap;
  private readonly handle: number;
  private readonly names: Map<string, number> = new Map();

  constructor(module: OrtModule, heap: OrtHeap, handle: number) {
    this.module = module;
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

  /** In the order of `outputs`; the caller releases them. */
  async run(
    inputs: readonly (readonly [string, HeapTensor])[],
    outputs: readonly string[],
  ): Promise<HeapTensor[]> {
    const { module, heap } = this;
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
    this.module._OrtReleaseSession(this.handle);
    for (const at of this.names.values()) {
      this.module._OrtFree(at);
    }
    this.names.clear();
  }

  // About a port: type, rank, a name (or 0) for each axis, then a size for each.
  private port(index: number): Port {
    const { module, heap } = this;
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
      const [type = 0, rank = 0, ...rest] = module.HEAPU32.subarray(
        about / POINTER_BYTES,
        about / POINTER_BYTES + 2 + 2 * 16,
      );
      const dims = Array.from({ length: type === 0 ? 0 : rank }, (_, i) => {
        const symbol = rest[i] ?? 0;
        return symbol === 0 ? (rest[i + rank] ?? 0) : module.UTF8ToString(symbol);
      });
      module._OrtFree(about);
      return { name, type, dims };
    } finally {
      module.stackRestore(stack);
    }
  }
}
