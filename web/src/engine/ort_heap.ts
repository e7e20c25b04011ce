// onnxruntime-web's CPU build without its JavaScript: its memory and the tensors in it. Here results
// can stay in the heap as the next run's inputs, and files arrive in the heap; through onnxruntime-web's JavaScript
// every tensor is copied into the heap before a run and out of it afterwards.
import { fail } from "../errors.js";
import type { PieceMemory } from "../loading/pieces.js";
import { LOG_ERRORS, type OrtFactory, type OrtModule, POINTER_BYTES } from "./ort_module.js";

/** TensorProto.DataType, and the bytes of an element. */
const TYPES = {
  float32: { code: 1, bytes: 4 },
  float16: { code: 10, bytes: 2 },
  int64: { code: 7, bytes: 8 },
  bool: { code: 9, bytes: 1 },
} as const;

export type ElementType = keyof typeof TYPES;

/** Types that no tensor of the graphs has are "other". */
export function elementType(code: number): ElementType | "other" {
  const names = Object.keys(TYPES) as ElementType[];
  return names.find((name) => TYPES[name].code === code) ?? "other";
}

const ON_CPU = 1;

/** A tensor of the engine. `owned`: the memory that we allocated for it, if any. */
export interface HeapTensor {
  readonly handle: number;
  readonly owned: number;
}

export interface TensorView {
  readonly type: ElementType;
  readonly dims: readonly number[];
  /** Valid until the tensor is released: the heap is shared memory, which does not move when it grows. */
  readonly bytes: Uint8Array<ArrayBufferLike>;
}

function sizeOf(type: ElementType, dims: readonly number[]): number {
  return dims.reduce((product, size) => product * size, TYPES[type].bytes);
}

export class OrtHeap {
  readonly module: OrtModule;
  /** For pieces of files. */
  readonly memory: PieceMemory;

  private constructor(module: OrtModule) {
    this.module = module;
    this.memory = {
      allocate: (bytes) => {
        const at = this.allocate(bytes);
        return module.HEAPU8.subarray(at, at + bytes);
      },
      free: (piece) => module._free(piece.byteOffset),
    };
  }

  /** `wasm`: the address of the engine's WebAssembly. */
  static async start(factory: OrtFactory, threads: number, wasm: string): Promise<OrtHeap> {
    const module = await factory({ numThreads: threads, locateFile: () => wasm });
    const heap = new OrtHeap(module);
    heap.check(module._OrtInit(threads, LOG_ERRORS), "cannot start");
    return heap;
  }

  /** Room for a tensor's values, which `fill` writes. */
  tensor(
    type: ElementType,
    dims: readonly number[],
    fill: (bytes: Uint8Array<ArrayBufferLike>) => void,
  ): HeapTensor {
    const { module } = this;
    const bytes = sizeOf(type, dims);
    const owned = this.allocate(Math.max(bytes, 1));
    fill(module.HEAPU8.subarray(owned, owned + bytes));
    const stack = module.stackSave();
    try {
      const shape = module.stackAlloc(dims.length * POINTER_BYTES);
      for (const [i, size] of dims.entries()) {
        module.HEAPU32[shape / POINTER_BYTES + i] = size;
      }
      const handle = module._OrtCreateTensor(
        TYPES[type].code,
        owned,
        bytes,
        shape,
        dims.length,
        ON_CPU,
      );
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
      const [code = 0, data = 0, shape = 0, rank = 0] = words.subarray(at, at + 4);
      const dims = Array.from(words.subarray(shape / POINTER_BYTES, shape / POINTER_BYTES + rank));
      module._OrtFree(shape);
      const type = elementType(code);
      if (type === "other") {
        fail("unsupported", `a tensor of type ${code}`);
      }
      const bytes = module.HEAPU8.subarray(data, data + sizeOf(type, dims));
      return { type, dims, bytes };
    } finally {
      module.stackRestore(stack);
    }
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
