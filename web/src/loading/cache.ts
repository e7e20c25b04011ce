// Chooses the store of a page, and handles a store that refuses.
import { messageOf } from "../errors.js";
import { IndexedDbStore } from "./indexed_db.js";
import { MemoryStore } from "./memory_store.js";
import { OpfsStore } from "./opfs.js";
import type { ProgressMeter } from "./progress.js";
import type { ChunkStore, FolderRecord } from "./stores.js";

/**
 * A store that may refuse at any moment (private window, quota, a user who clears the site's data):
 * from then on new chunks go to memory, and `onRefused` is called once with the reason.
 */
export class ResilientStore implements ChunkStore {
  private readonly memory = new MemoryStore();
  private readonly onRefused: (error: unknown) => void;
  private store: ChunkStore | undefined;
  private full = false;

  constructor(store: ChunkStore | undefined, onRefused: (error: unknown) => void) {
    this.store = store;
    this.onRefused = onRefused;
  }

  get persistent(): boolean {
    return this.store !== undefined && !this.full;
  }

  private async attempt<T>(use: (store: ChunkStore) => Promise<T>, instead: T): Promise<T> {
    if (this.store === undefined) {
      return instead;
    }
    try {
      return await use(this.store);
    } catch (error) {
      if (this.store !== undefined) {
        this.store = undefined;
        this.onRefused(error);
      }
      return instead;
    }
  }

  async get(digest: string): Promise<Uint8Array | undefined> {
    const held = await this.memory.get(digest);
    return held ?? this.attempt((store) => store.get(digest), undefined);
  }

  async put(digest: string, bytes: Uint8Array): Promise<void> {
    if (this.store !== undefined && !this.full) {
      try {
        await this.store.put(digest, bytes);
        return;
      } catch (error) {
        if (!this.full) {
          this.full = true; // chunks stored before can still be read
          this.onRefused(error);
        }
      }
    }
    await this.memory.put(digest, bytes);
  }

  open(digest: string): Promise<Blob | undefined> {
    return this.attempt(async (store) => store.open?.(digest), undefined);
  }

  async remove(digest: string): Promise<void> {
    await this.memory.remove(digest);
    await this.attempt((store) => store.remove(digest), undefined);
  }

  async release(digests: readonly string[]): Promise<void> {
    await this.memory.release(digests);
  }

  readFolder(url: string): Promise<FolderRecord | undefined> {
    return this.attempt((store) => store.readFolder(url), undefined);
  }

  async writeFolder(url: string, record: FolderRecord): Promise<void> {
    await this.attempt((store) => store.writeFolder(url, record), undefined);
  }

  async clear(): Promise<void> {
    await this.memory.clear();
    await this.attempt((store) => store.clear(), undefined);
  }
}

/** The fastest store that this environment has; throws where there is none. */
async function openFastest(): Promise<ChunkStore> {
  if (globalThis.indexedDB === undefined) {
    throw new Error("there is no IndexedDB here");
  }
  const database = await IndexedDbStore.open(globalThis.indexedDB);
  return (await OpfsStore.open(database)) ?? database;
}

/** openFastest(), with memory as fallback; memory alone unless `stored`. */
export async function openStore(
  onRefused: (error: unknown) => void,
  stored = true,
): Promise<ChunkStore> {
  try {
    return new ResilientStore(stored ? await openFastest() : undefined, onRefused);
  } catch (error) {
    onRefused(error);
    return new ResilientStore(undefined, onRefused);
  }
}

/** The note to a user when the store refuses, for openStore(). */
export function noteRefusal(meter: ProgressMeter): (error: unknown) => void {
  return (error) =>
    meter.note(`The browser's storage refuses (${messageOf(error)}); the model stays in memory.`);
}

/** Deletes every model that this origin has stored. */
export async function clearCache(): Promise<void> {
  if (globalThis.indexedDB !== undefined) {
    await (await openFastest()).clear();
  }
}
