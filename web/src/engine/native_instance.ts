// One instance of the project's own engine: its memory, its threads, and the files that it loads. Chunks of files lie outside of
// its memory, which never shrinks, and are freed one by one while the weights in them are packed: a model is in memory once.
import { asLorapressError, type ErrorCode, fail, LorapressError, messageOf } from "../errors.js";
import { freeNow } from "../loading/free_now.js";
import type { Chunk } from "../loading/piece_reader.js";
import type { ModelShape, ModelSource } from "./engine_api.js";
import {
  INITIAL_PAGES,
  importsOf,
  MOST_THREADS,
  type NativeExports,
  type NativeHost,
  VERSION,
} from "./native_module.js";
import type { ThreadStart } from "./native_thread.js";

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

// Of workers.
declare const FileReaderSync: new () => { readAsArrayBuffer(blob: Blob): ArrayBuffer };

/** Of chunks in the store, so much is in memory: a divisor of the size of chunks; a load reads all of a file three times. */
const WINDOW_BYTES = 2 ** 22;

/** A part of a file. */
interface Part {
  readonly begin: number;
  readonly end: number;
  readonly chunk: Chunk;
  /** Bytes that are still to be read. */
  left: number;
}

/** A file in parts of equal size but the last one. */
export interface NativeFile {
  readonly name: string;
  readonly bytes: number;
  readonly parts: readonly Part[];
  free(chunk: Chunk): void;
}

export interface NativeStart {
  readonly module: WebAssembly.Module;
  /** More than one needs a module with threads. */
  readonly shared: boolean;
  readonly threads: number;
  /** The address of a thread's module. */
  readonly thread: string;
  readonly shape: ModelShape;
  note(text: string): void;
}

/** The files of a part. */
export function receiveFiles(source: ModelSource): Promise<NativeFile[]> {
  const { path, externalData } = source.graph;
  return Promise.all([path, ...externalData].map((one) => receiveFile(one, source)));
}

async function receiveFile(path: string, source: ModelSource): Promise<NativeFile> {
  const arrived: Chunk[][] = [];
  await source.chunks(path, (i, chunk) => {
    arrived[i] = chunk instanceof Uint8Array ? [chunk] : windowsOf(chunk);
  });
  let bytes = 0;
  const parts = arrived.flat().map((chunk) => {
    const begin = bytes;
    const left = chunk instanceof Uint8Array ? chunk.length : chunk.size;
    bytes += left;
    return { begin, end: bytes, chunk, left };
  });
  const name = path.slice(path.lastIndexOf("/") + 1);
  return { name, bytes, parts, free: (chunk) => source.free(chunk) };
}

function windowsOf(chunk: Blob): Blob[] {
  return Array.from({ length: Math.ceil(chunk.size / WINDOW_BYTES) }, (_, i) =>
    chunk.slice(i * WINDOW_BYTES, (i + 1) * WINDOW_BYTES),
  );
}

// Of instances that nobody has any more.
const ENDED = new FinalizationRegistry<readonly Worker[]>((workers) => {
  for (const worker of workers) {
    worker.terminate();
  }
});

// Where a browser does not reserve as much address space, it gives less.
function sharedMemory(): WebAssembly.Memory {
  for (let maximum = 65536; ; maximum /= 2) {
    try {
      return new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum, shared: true });
    } catch (error) {
      if (maximum <= 8192) {
        throw error;
      }
    }
  }
}

export class NativeInstance implements NativeHost {
  private readonly workers: Worker[] = [];
  private exports: NativeExports;
  private loading: readonly NativeFile[] = [];
  private window: { readonly chunk: Blob; readonly bytes: Uint8Array<ArrayBuffer> } | undefined;
  private dead: Error | undefined;

  private constructor() {
    this.exports = {} as NativeExports; // start() has them
  }

  static async start(options: NativeStart): Promise<NativeInstance> {
    const { module, shared } = options;
    const memory = shared ? sharedMemory() : undefined;
    const instance = new NativeInstance();
    ENDED.register(instance, instance.workers);
    const { exports } = await WebAssembly.instantiate(module, importsOf(instance, memory));
    instance.exports = exports as unknown as NativeExports;
    instance.use((engine) => engine._initialize());
    const version = instance.use((engine) => engine.lp_version());
    if (version !== VERSION) {
      fail("mismatch", `the engine's module is version ${version}, expected ${VERSION}`);
    }
    // Threads before the model, which keeps those that are there.
    if (memory !== undefined && options.threads > 1) {
      instance.startThreads(memory, options);
    }
    instance.open(options.shape);
    return instance;
  }

  /** Bytes of weights, caches and buffers. */
  get held(): number {
    return this.use((engine) => engine.lp_bytes());
  }

  /** An exception of `work` ends the instance. */
  use<T>(work: (engine: NativeExports) => T): T {
    if (this.dead !== undefined) {
      throw this.dead;
    }
    try {
      return work(this.exports);
    } catch (error) {
      this.dead = asLorapressError(error, "runtime", "the engine failed");
      throw this.dead;
    }
  }

  /** `use` for calls whose 0 means that the arguments do not fit the model. */
  call(code: ErrorCode, work: (engine: NativeExports) => number): number {
    const found = this.use(work) >>> 0;
    return found === 0 ? fail(code, this.textAt(this.use((engine) => engine.lp_error()))) : found;
  }

  /** `values` in the instance's memory while `work` runs. */
  lend<T>(values: ArrayBufferView, work: (at: number) => T): T {
    const at = this.put(values);
    try {
      return work(at);
    } finally {
      this.free(at);
    }
  }

  floats(at: number, count: number): Float32Array {
    return new Float32Array(this.exports.memory.buffer, at >>> 0, count);
  }

  /** Frees what `engine` allocated, unless the instance has ended. */
  free(at: number, by: (engine: NativeExports) => (at: number) => void = (e) => e.lp_free): void {
    if (this.dead === undefined) {
      this.use((engine) => by(engine)(at));
    }
  }

  /** Loads a part from files that receiveFiles() brought, which are used up. */
  load(part: number, files: readonly NativeFile[]): void {
    this.loading = files;
    try {
      for (const { name, bytes } of files) {
        this.lend(ENCODER.encode(`${name}\0`), (at) =>
          this.use((engine) => engine.lp_file(at, bytes)),
        );
      }
      this.call("mismatch", (engine) => engine.lp_load(part));
    } finally {
      this.loading = [];
      this.closeWindow();
      for (const { parts, free } of files) {
        for (const { chunk } of parts.filter(({ left }) => left > 0)) {
          free(chunk);
        }
      }
    }
  }

  dispose(): void {
    this.dead ??= new LorapressError("runtime", "the engine is disposed");
    for (const worker of this.workers.splice(0)) {
      worker.terminate();
    }
    this.exports = {} as NativeExports; // its memory may be collected
  }

  read(file: number, offset: number, to: number, bytes: number): void {
    const memory = new Uint8Array(this.exports.memory.buffer);
    let at = to >>> 0;
    for (const [part, begin, end] of this.overlaps(file, offset, offset + bytes)) {
      memory.set(this.bytesOf(part.chunk).subarray(begin - part.begin, end - part.begin), at);
      at += end - begin;
    }
  }

  done(file: number, begin: number, end: number): void {
    for (const [part, from, to] of this.overlaps(file, begin, end)) {
      part.left -= to - from;
      if (part.left === 0) {
        this.loading[file]?.free(part.chunk);
      }
    }
  }

  textAt(at: number): string {
    const bytes = new Uint8Array(this.exports.memory.buffer, at >>> 0);
    return DECODER.decode(bytes.slice(0, bytes.indexOf(0)));
  }

  private *overlaps(
    file: number,
    begin: number,
    end: number,
  ): Generator<readonly [part: Part, begin: number, end: number]> {
    const parts = this.loading[file]?.parts ?? [];
    const size = parts[0]?.end ?? 1;
    for (let i = Math.floor(begin / size); i * size < end; ++i) {
      const part = parts[i] ?? fail("runtime", `the engine asks for byte ${end} of a file`);
      yield [part, Math.max(begin, part.begin), Math.min(end, part.end)];
    }
  }

  private bytesOf(chunk: Chunk): Uint8Array {
    if (chunk instanceof Uint8Array) {
      return chunk;
    }
    if (this.window?.chunk !== chunk) {
      this.closeWindow();
      this.window = { chunk, bytes: new Uint8Array(new FileReaderSync().readAsArrayBuffer(chunk)) };
    }
    return this.window.bytes;
  }

  private closeWindow(): void {
    this.window && freeNow(this.window.bytes);
    this.window = undefined;
  }

  private open(shape: ModelShape): void {
    const [height, width] = shape.imageSize ?? [0, 0];
    this.call("unsupported", (engine) =>
      engine.lp_open(
        height,
        width,
        shape.imageTokens ?? -1,
        shape.vocabSize,
        shape.numHiddenLayers,
        shape.numKeyValueHeads,
        shape.headDim,
        shape.imageTokenId ?? -1,
        Number(shape.crossAttention === true),
        Number(shape.idsInCache === true),
      ),
    );
  }

  // They may come late or never: this thread does what nobody has begun.
  private startThreads(memory: WebAssembly.Memory, options: NativeStart): void {
    const { module, thread, note } = options;
    const count = Math.min(options.threads, MOST_THREADS);
    this.use((engine) => engine.lp_threads(count));
    try {
      for (let index = 1; index < count; ++index) {
        const stack = this.call("runtime", (engine) => engine.lp_worker_stack(index));
        const worker = new Worker(thread, { type: "module", name: `lorapress engine ${index}` });
        this.workers.push(worker);
        worker.addEventListener("error", ({ message }) => {
          note(
            `A thread of the engine does not start: ${message || "its module cannot be loaded"}.`,
          );
        });
        worker.postMessage({ module, memory, index, stack } satisfies ThreadStart);
      }
    } catch (error) {
      note(`The engine has one thread: ${messageOf(error)}.`);
    }
  }

  private put({ buffer, byteOffset, byteLength }: ArrayBufferView): number {
    const at = this.use((engine) => engine.lp_allocate(byteLength)) >>> 0;
    const memory = new Uint8Array(this.exports.memory.buffer, at, byteLength);
    memory.set(new Uint8Array(buffer, byteOffset, byteLength));
    return at;
  }
}
