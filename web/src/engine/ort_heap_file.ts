// Weight files as onnxruntime-web's CPU build takes them in.
import type { Pieces, Range } from "../loading/pieces.js";
import type { OrtHeap } from "./ort_heap.js";
import type { MountedFile, OrtModule } from "./ort_module.js";

/** Smaller weights are read more than once: scales that two nodes share. */
const KEPT_BYTES = 2 ** 20;

/**
 * The weights of a file, in the heap: a block for each. The engine requests weights one by one, in any order;
 * a large weight is freed when the engine requests the next, so that a model is in memory once and not twice.
 */
export class HeapFile implements MountedFile {
  readonly byteLength: number;
  /** A weight was requested again after it was freed. */
  missed = false;
  private readonly module: OrtModule;
  private readonly keep: boolean;
  private readonly blocks = new Map<number, readonly [at: number, bytes: number]>();
  private used: number | undefined;

  /** `ranges` of `file`, moved here piece by piece; the file is consumed unless `keep`. */
  constructor(heap: OrtHeap, file: Pieces, ranges: readonly Range[], keep: boolean) {
    this.module = heap.module;
    this.byteLength = file.size;
    this.keep = keep;
    for (const [begin, end] of [...ranges].sort(([a], [b]) => a - b)) {
      const at = heap.allocate(end - begin);
      this.blocks.set(begin, [at, end - begin]);
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
