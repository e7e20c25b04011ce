// A file of several chunks, and a store for it.

import { CHUNK_BYTES } from "../../src/loading/manifest.js";
import { MemoryStore } from "../../src/loading/memory_store.js";

export const BIG = "weights.bin";
export const BIG_BYTES: number = 3 * CHUNK_BYTES + 12_345;

/** As IndexedDB: keeps copies, whatever is released. */
export class CopyStore extends MemoryStore {
  override readonly persistent = true;
  override put(digest: string, bytes: Uint8Array): Promise<void> {
    return super.put(digest, bytes.slice());
  }
  override release(): Promise<void> {
    return Promise.resolve();
  }
}
