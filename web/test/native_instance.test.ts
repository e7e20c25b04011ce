// An instance of the own engine's module over exports that are no engine: how files reach it, in chunks of any border,
// and what ends it.
import { afterEach, expect, it, vi } from "vitest";
import type { ModelSource } from "../src/engine/engine_api.js";
import { NativeInstance, receiveFiles } from "../src/engine/native_instance.js";
import { VERSION } from "../src/engine/native_module.js";

const SHAPE = {
  imageSize: [2, 2],
  vocabSize: 3,
  numHiddenLayers: 2,
  numKeyValueHeads: 1,
  headDim: 4,
} as const;
const PAGE = 65536;

/** Allocates one block behind the other, a page further each time, so that old views are of no use. */
class FakeExports {
  readonly memory: WebAssembly.Memory = new WebAssembly.Memory({ initial: 1 });
  readonly alive = new Map<number, number>();
  readonly files: [name: string, bytes: number][] = [];
  lp_load: (part: number) => number = () => 1;
  private next = 64;

  _initialize(): void {}
  lp_version = (): number => VERSION;
  lp_open = (): number => 1;
  lp_allocate = (bytes: number): number => {
    const at = this.next;
    this.next += Math.ceil(bytes / 64) * 64;
    this.memory.grow(Math.ceil(this.next / PAGE) - this.memory.buffer.byteLength / PAGE + 1);
    this.alive.set(at, bytes);
    return at;
  };
  lp_free = (at: number): void => {
    expect(this.alive.delete(at), `${at} is freed twice`).toBe(true);
  };
  lp_error = (): number => {
    new Uint8Array(this.memory.buffer).set(new TextEncoder().encode("no such part\0"), 0);
    return 0;
  };
  lp_file = (name: number, bytes: number): number => {
    const text = new Uint8Array(this.memory.buffer, name);
    this.files.push([new TextDecoder().decode(text.slice(0, text.indexOf(0))), bytes]);
    return this.files.length - 1;
  };
}

afterEach(() => vi.restoreAllMocks());

async function start(): Promise<[NativeInstance, FakeExports, WebAssembly.Imports]> {
  const exports = new FakeExports();
  let imports: WebAssembly.Imports = {};
  vi.spyOn(WebAssembly, "instantiate").mockImplementation((async (
    _: unknown,
    given: WebAssembly.Imports,
  ) => {
    imports = given;
    return { exports };
  }) as never);
  const instance = await NativeInstance.start({
    module: undefined as never,
    shared: false,
    threads: 1,
    thread: "",
    shape: SHAPE,
    note: () => {},
  });
  return [instance, exports, imports];
}

/** A graph in chunks of 10 bytes, the last one shorter, and a file beside it, which arrive in another order. */
const FILES: Readonly<Record<string, Uint8Array>> = {
  "onnx/graph.onnx": Uint8Array.from({ length: 34 }, (_, i) => i),
  "onnx/graph.onnx_data": Uint8Array.from({ length: 10 }, (_, i) => 100 + i),
};
const held = new Set<Uint8Array>();
const source = {
  role: "encoder",
  graph: { path: "onnx/graph.onnx", externalData: ["onnx/graph.onnx_data"] },
  chunks: async (path: string, take: (i: number, bytes: Uint8Array) => void) => {
    const file = FILES[path] as Uint8Array;
    for (let i = Math.ceil(file.length / 10) - 1; i >= 0; --i) {
      const chunk = file.slice(10 * i, 10 * i + 10);
      held.add(chunk);
      take(i, chunk);
    }
  },
  free: (chunk: Uint8Array) => {
    expect(held.delete(chunk), "a chunk is freed twice").toBe(true);
    chunk.fill(0xff); // nothing is read of it any more
  },
} as unknown as ModelSource;

type Host = Record<"read" | "done", (file: number, a: number, b: number, c?: number) => void>;

it("reads any range of files that lie in chunks, and frees each chunk with its last byte", async () => {
  const [instance, exports, imports] = await start();
  const host = imports["lorapress"] as Host;
  const files = await receiveFiles(source);
  expect(held.size).toBe(5);
  expect(exports.alive.size).toBe(0); // chunks take nothing of a memory that never shrinks
  exports.lp_load = (part) => {
    expect(part).toBe(7);
    const to = exports.lp_allocate(64);
    for (const [file, bytes] of Object.values(FILES).entries()) {
      for (let begin = 0; begin < bytes.length; begin += 3) {
        for (let end = begin; end <= bytes.length; ++end) {
          host.read(file, begin, to, end - begin);
          const found = new Uint8Array(exports.memory.buffer, to, end - begin);
          expect([...found]).toEqual([...bytes.subarray(begin, end)]);
        }
      }
    }
    exports.lp_free(to);
    host.done(0, 25, 34);
    expect(held.size).toBe(4);
    host.done(0, 5, 25);
    expect(held.size).toBe(2);
    host.done(1, 0, 10);
    host.done(0, 0, 5);
    expect(held.size).toBe(0);
    return 1;
  };
  instance.load(7, files);
  expect(exports.files).toEqual([
    ["graph.onnx", 34],
    ["graph.onnx_data", 10],
  ]);
});

it("reads chunks of the store in pieces of 4 MB", async () => {
  const bytes = Uint8Array.from({ length: 10_000_000 }, (_, i) => i % 251);
  const read: number[] = [];
  vi.stubGlobal(
    "FileReaderSync",
    class {
      readAsArrayBuffer(blob: Blob): ArrayBuffer {
        const [begin, end] = ranges.get(blob) as [number, number];
        read.push(end - begin);
        return bytes.slice(begin, end).buffer;
      }
    },
  );
  const ranges = new Map<Blob, [begin: number, end: number]>();
  const chunk = new Blob([bytes]);
  vi.spyOn(chunk, "slice").mockImplementation((begin = 0, end = 0) => {
    const part = Blob.prototype.slice.call(chunk, begin, end);
    ranges.set(part, [begin, Math.min(end, bytes.length)]);
    return part;
  });
  const [instance, exports, imports] = await start();
  const host = imports["lorapress"] as Host;
  const files = await receiveFiles({
    graph: { path: "onnx/graph.onnx", externalData: [] },
    chunks: async (_: string, take: (i: number, chunk: Blob) => void) => take(0, chunk),
    free: () => {},
  } as unknown as ModelSource);
  exports.lp_load = () => {
    for (const [begin, end] of [
      [0, 10],
      [5, 4_400_000],
      [3_600_000, 10_000_000],
      [9_999_999, 10_000_000],
    ] as const) {
      const to = exports.lp_allocate(end - begin);
      host.read(0, begin, to, end - begin);
      const found = new Uint8Array(exports.memory.buffer, to, end - begin);
      expect(Buffer.compare(found, bytes.subarray(begin, end))).toBe(0);
      exports.lp_free(to);
    }
    host.done(0, 0, 10_000_000);
    return 1;
  };
  instance.load(7, files);
  const [first, last] = [2 ** 22, 10_000_000 - 2 ** 23];
  expect(read).toEqual([first, first, first, first, last]);
  vi.unstubAllGlobals();
});

it("frees chunks that were not read, and says why a call gave nothing", async () => {
  const [instance, exports] = await start();
  const files = await receiveFiles(source);
  exports.lp_load = () => 0;
  expect(() => instance.load(7, files)).toThrow(
    expect.objectContaining({ code: "mismatch", message: "no such part" }),
  );
  expect(held.size).toBe(0);
  expect(exports.alive.size).toBe(0);
  exports.lp_load = () => 1;
  instance.load(7, await receiveFiles(source)); // it goes on
});

it("ends with an exception of the module, whose code is that of the problem", async () => {
  for (const [problem, code] of Object.entries([
    "unsupported",
    "invalid_file",
    "runtime",
    "mismatch",
  ])) {
    const [instance, exports, imports] = await start();
    const refused = imports["lorapress"]?.["refused"] as (problem: number, text: number) => void;
    const files = await receiveFiles(source);
    exports.lp_load = () => {
      refused(Number(problem), exports.lp_error());
      return 1;
    };
    const error = expect.objectContaining({ code, message: "no such part" });
    expect(() => instance.load(7, files)).toThrow(error);
    expect(() => instance.held).toThrow(error);
    instance.free(64); // of an instance that has ended: nothing
  }
});

it("refuses a module of another version", async () => {
  vi.spyOn(FakeExports.prototype, "_initialize").mockImplementation(function (this: FakeExports) {
    this.lp_version = () => VERSION + 1;
  });
  await expect(start()).rejects.toMatchObject({ code: "mismatch" });
});
