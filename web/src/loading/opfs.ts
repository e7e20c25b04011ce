// Chunks as files of the origin private file system, which writes and reads faster than IndexedDB
// (docs/web-performance.md). Written through createWritable(): a chunk appears whole or not at all, and
// no tab keeps another one out, as synchronous handles would. The chunks of each folder are recorded in the
// database. An empty file is still being written and does not count.
import type { IndexedDbStore } from "./indexed_db.js";
import { Limiter } from "./limiter.js";
import type { ChunkStore, FolderRecord } from "./stores.js";

const FOLDER = "lorapress";

function isMissing(error: unknown): boolean {
  return (error as Error | undefined)?.name === "NotFoundError";
}

export class OpfsStore implements ChunkStore {
  readonly persistent: boolean = true;
  private readonly folder: FileSystemDirectoryHandle;
  private readonly records: IndexedDbStore;
  /** A write holds a copy of its chunk. */
  private readonly writing: Limiter = new Limiter(2);

  private constructor(folder: FileSystemDirectoryHandle, records: IndexedDbStore) {
    this.folder = folder;
    this.records = records;
  }

  /** undefined where a browser has no such file system, cannot write to it here, or refuses. */
  static async open(records: IndexedDbStore): Promise<OpfsStore | undefined> {
    if (!("createWritable" in (globalThis.FileSystemFileHandle?.prototype ?? {}))) {
      return undefined;
    }
    try {
      const root = await navigator.storage.getDirectory();
      return new OpfsStore(await root.getDirectoryHandle(FOLDER, { create: true }), records);
    } catch {
      return undefined; // some private windows
    }
  }

  async get(digest: string): Promise<Uint8Array | undefined> {
    const file = await this.open(digest);
    return file && new Uint8Array(await file.arrayBuffer());
  }

  async open(digest: string): Promise<File | undefined> {
    try {
      const file = await (await this.folder.getFileHandle(digest)).getFile();
      return file.size === 0 ? undefined : file;
    } catch (error) {
      if (isMissing(error)) {
        return undefined;
      }
      throw error;
    }
  }

  put(digest: string, bytes: Uint8Array): Promise<void> {
    return this.writing.run(() => this.write(digest, bytes));
  }

  private async write(digest: string, bytes: Uint8Array): Promise<void> {
    const handle = await this.folder.getFileHandle(digest, { create: true });
    const stream = await handle.createWritable();
    try {
      // Shared memory cannot be written from.
      const { buffer } = bytes;
      await stream.write(
        buffer instanceof ArrayBuffer
          ? new Uint8Array(buffer, bytes.byteOffset, bytes.length)
          : bytes.slice(),
      );
      await stream.close();
    } catch (error) {
      await stream.abort().catch(() => {});
      await this.remove(digest).catch(() => {});
      throw error;
    }
  }

  async remove(digest: string): Promise<void> {
    try {
      await this.folder.removeEntry(digest);
    } catch (error) {
      if (!isMissing(error)) {
        throw error;
      }
    }
  }

  release(): Promise<void> {
    return Promise.resolve();
  }

  readFolder(url: string): Promise<FolderRecord | undefined> {
    return this.records.readFolder(url);
  }

  async writeFolder(url: string, record: FolderRecord): Promise<void> {
    await this.records.writeFolder(url, record);
    await this.removeAllBut(await this.records.named());
  }

  async clear(): Promise<void> {
    await this.records.clear();
    await this.removeAllBut(new Set());
  }

  private async removeAllBut(named: ReadonlySet<string>): Promise<void> {
    for await (const name of this.folder.keys()) {
      if (!named.has(name)) {
        await this.remove(name).catch(() => {}); // another tab writes it
      }
    }
  }
}
