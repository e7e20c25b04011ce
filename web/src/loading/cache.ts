// Where verified chunks wait for the next visit. Keys are digests: two versions of a model share what
// did not change, two tabs write the same bytes, and a stale chunk cannot be taken for a new one.

import { OpfsStore } from "./opfs.js";

export interface FolderRecord {
  /** Text of its lorapress.json. */
  readonly manifest: string;
  /** All chunks that it names. */
  readonly digests: readonly string[];
}

export interface ChunkStore {
  /** Whether what is put here outlives the page. */
  readonly persistent: boolean;
  get(digest: string): Promise<Uint8Array | undefined>;
  /** REQUIRES: `bytes` keep their content until release(). */
  put(digest: string, bytes: Uint8Array): Promise<void>;
  remove(digest: string): Promise<void>;
  /** The engine has these; a store that only holds them in memory lets go. */
  release(digests: readonly string[]): Promise<void>;
  readFolder(url: string): Promise<FolderRecord | undefined>;
  /** Replaces the folder's record and drops the chunks that no folder names any more. */
  writeFolder(url: string, record: FolderRecord): Promise<void>;
  clear(): Promise<void>;
}

function namedBy(folders: readonly FolderRecord[]): Set<string> {
  return new Set(folders.flatMap(({ digests }) => digests));
}

/** Holds views, not copies: a load that failed goes on where it stopped, and costs nothing more. */
export class MemoryStore implements ChunkStore {
  readonly persistent: boolean = false;
  private readonly chunks = new Map<string, Uint8Array>();
  private readonly folders = new Map<string, FolderRecord>();

  get(digest: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.chunks.get(digest));
  }

  put(digest: string, bytes: Uint8Array): Promise<void> {
    this.chunks.set(digest, bytes);
    return Promise.resolve();
  }

  remove(digest: string): Promise<void> {
    this.chunks.delete(digest);
    return Promise.resolve();
  }

  async release(digests: readonly string[]): Promise<void> {
    await Promise.all(digests.map((digest) => this.remove(digest)));
  }

  readFolder(url: string): Promise<FolderRecord | undefined> {
    return Promise.resolve(this.folders.get(url));
  }

  writeFolder(url: string, record: FolderRecord): Promise<void> {
    this.folders.set(url, record);
    const named = namedBy([...this.folders.values()]);
    for (const digest of this.chunks.keys()) {
      if (!named.has(digest)) {
        this.chunks.delete(digest);
      }
    }
    return Promise.resolve();
  }

  clear(): Promise<void> {
    this.chunks.clear();
    this.folders.clear();
    return Promise.resolve();
  }
}

const DATABASE = "lorapress";
const VERSION = 1;
const OPEN_MS = 10_000;

function settled<T>(request: IDBRequest<T>): Promise<T> {
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

/** One database for all folders of an origin: chunks by digest, folders by address. */
export class IndexedDbStore implements ChunkStore {
  readonly persistent: boolean = true;
  private readonly database: IDBDatabase;

  private constructor(database: IDBDatabase) {
    this.database = database;
    // Another tab deletes the database or brings a newer version: let it.
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
    const found: unknown = await settled(store.get(digest));
    return found instanceof Uint8Array ? found : undefined;
  }

  async put(digest: string, bytes: Uint8Array): Promise<void> {
    const transaction = this.database.transaction("chunks", "readwrite", { durability: "relaxed" });
    // A view would take its whole buffer along, the file of all chunks, and memory that threads share is
    // refused.
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
    const found = (await settled(store.get(url))) as FolderRecord | undefined;
    return typeof found?.manifest === "string" ? found : undefined;
  }

  async writeFolder(url: string, record: FolderRecord): Promise<void> {
    const transaction = this.database.transaction(["chunks", "folders"], "readwrite");
    const done = completed(transaction);
    const folders = transaction.objectStore("folders");
    const chunks = transaction.objectStore("chunks");
    folders.put(record, url);
    const named = namedBy((await settled(folders.getAll())) as FolderRecord[]);
    for (const key of await settled(chunks.getAllKeys())) {
      if (!named.has(String(key))) {
        chunks.delete(key);
      }
    }
    await done;
  }

  /** Digests of all chunks that a folder names. */
  async named(): Promise<ReadonlySet<string>> {
    const store = this.database.transaction("folders").objectStore("folders");
    return namedBy((await settled(store.getAll())) as FolderRecord[]);
  }

  async clear(): Promise<void> {
    const transaction = this.database.transaction(["chunks", "folders"], "readwrite");
    transaction.objectStore("chunks").clear();
    transaction.objectStore("folders").clear();
    await completed(transaction);
  }
}

/**
 * A store that may refuse at any moment (private window, quota, a user who clears the site's data):
 * from then on memory takes what comes, and `onRefused` hears why, once.
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
          this.full = true; // what is there already can still be read
          this.onRefused(error);
        }
      }
    }
    await this.memory.put(digest, bytes);
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

/** The fastest store that this place has; throws where there is none. */
async function openFastest(): Promise<ChunkStore> {
  if (globalThis.indexedDB === undefined) {
    throw new Error("there is no IndexedDB here");
  }
  const database = await IndexedDbStore.open(globalThis.indexedDB);
  return (await OpfsStore.open(database)) ?? database;
}

/** openFastest(), with memory to go on with. */
export async function openStore(onRefused: (error: unknown) => void): Promise<ChunkStore> {
  try {
    return new ResilientStore(await openFastest(), onRefused);
  } catch (error) {
    onRefused(error);
    return new ResilientStore(undefined, onRefused);
  }
}

/** Deletes every model that this origin has stored. */
export async function clearCache(): Promise<void> {
  if (globalThis.indexedDB !== undefined) {
    await (await openFastest()).clear();
  }
}
