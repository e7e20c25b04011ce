// The store of pages without another one: it lasts until the page is closed.
import { type ChunkStore, type FolderRecord, namedBy } from "./stores.js";

/** Holds views, not copies: a failed load can resume where it stopped, without extra memory. */
export class MemoryStore implements ChunkStore {
  readonly persistent: boolean = false;
  private readonly chunks = new Map<string, Uint8Array>();
  private readonly folders = new Map<string, FolderRecord>();

  async get(digest: string): Promise<Uint8Array | undefined> {
    return this.chunks.get(digest);
  }

  async put(digest: string, bytes: Uint8Array): Promise<void> {
    this.chunks.set(digest, bytes);
  }

  async remove(digest: string): Promise<void> {
    this.chunks.delete(digest);
  }

  async release(digests: readonly string[]): Promise<void> {
    await Promise.all(digests.map((digest) => this.remove(digest)));
  }

  async readFolder(url: string): Promise<FolderRecord | undefined> {
    return this.folders.get(url);
  }

  async writeFolder(url: string, record: FolderRecord): Promise<void> {
    this.folders.set(url, record);
    const named = namedBy([...this.folders.values()]);
    for (const digest of this.chunks.keys()) {
      if (!named.has(digest)) {
        this.chunks.delete(digest);
      }
    }
  }

  async clear(): Promise<void> {
    this.chunks.clear();
    this.folders.clear();
  }
}
