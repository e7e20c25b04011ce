// The store that every browser has: one database for all folders of an origin.
import { type ChunkStore, type FolderRecord, namedBy } from "./stores.js";

const DATABASE = "lorapress";
const VERSION = 1;
const OPEN_MS = 10_000;

function resultOf<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = (): void => resolve(request.result);
    request.onerror = (): void => reject(request.error ?? new Error("IndexedDB refused"));
  });
}

function completed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (): void => reject(transaction.error ?? new Error("IndexedDB refused"));
    transaction.oncomplete = (): void => resolve();
    transaction.onabort = refuse;
    transaction.onerror = refuse;
  });
}

/** Chunks by digest, folders by address. */
export class IndexedDbStore implements ChunkStore {
  readonly persistent: boolean = true;
  private readonly database: IDBDatabase;

  private constructor(database: IDBDatabase) {
    this.database = database;
    // Lets another tab delete the database or upgrade its version.
    database.onversionchange = (): void => database.close();
  }

  static open(factory: IDBFactory, name: string = DATABASE): Promise<IndexedDbStore> {
    return new Promise((resolve, reject) => {
      const request = factory.open(name, VERSION);
      // Some browsers never answer at all in private windows.
      const timer = setTimeout(() => reject(new Error("IndexedDB does not answer")), OPEN_MS);
      request.onupgradeneeded = (): void => {
        request.result.createObjectStore("chunks");
        request.result.createObjectStore("folders");
      };
      request.onsuccess = (): void => {
        clearTimeout(timer);
        resolve(new IndexedDbStore(request.result));
      };
      request.onerror = (): void => {
        clearTimeout(timer);
        reject(request.error ?? new Error("IndexedDB refused"));
      };
    });
  }

  async get(digest: string): Promise<Uint8Array | undefined> {
    const store = this.database.transaction("chunks").objectStore("chunks");
    const found: unknown = await resultOf(store.get(digest));
    return found instanceof Uint8Array ? found : undefined;
  }

  async put(digest: string, bytes: Uint8Array): Promise<void> {
    const transaction = this.database.transaction("chunks", "readwrite", { durability: "relaxed" });
    // Storing a view would store its whole buffer, the file of all chunks, and shared memory is refused.
    const { buffer } = bytes;
    const whole = buffer instanceof ArrayBuffer && bytes.length === buffer.byteLength;
    const own = whole ? bytes : bytes.slice();
    transaction.objectStore("chunks").put(own, digest);
    await completed(transaction);
  }

  async remove(digest: string): Promise<void> {
    const transaction = this.database.transaction("chunks", "readwrite");
    transaction.objectStore("chunks").delete(digest);
    await completed(transaction);
  }

  release(): Promise<void> {
    return Promise.resolve();
  }

  async readFolder(url: string): Promise<FolderRecord | undefined> {
    const store = this.database.transaction("folders").objectStore("folders");
    const found = (await resultOf(store.get(url))) as FolderRecord | undefined;
    return typeof found?.manifest === "string" ? found : undefined;
  }

  async writeFolder(url: string, record: FolderRecord): Promise<void> {
    const transaction = this.database.transaction(["chunks", "folders"], "readwrite");
    const done = completed(transaction);
    const folders = transaction.objectStore("folders");
    const chunks = transaction.objectStore("chunks");
    folders.put(record, url);
    const named = namedBy((await resultOf(folders.getAll())) as FolderRecord[]);
    for (const key of await resultOf(chunks.getAllKeys())) {
      if (!named.has(String(key))) {
        chunks.delete(key);
      }
    }
    await done;
  }

  /** Digests of all chunks that a folder names. */
  async named(): Promise<ReadonlySet<string>> {
    const store = this.database.transaction("folders").objectStore("folders");
    return namedBy((await resultOf(store.getAll())) as FolderRecord[]);
  }

  async clear(): Promise<void> {
    const transaction = this.database.transaction(["chunks", "folders"], "readwrite");
    transaction.objectStore("chunks").clear();
    transaction.objectStore("folders").clear();
    await completed(transaction);
  }
}
