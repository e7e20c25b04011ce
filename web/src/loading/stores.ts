// Where verified chunks wait for the next visit. Keys are digests: two versions of a model share what
// did not change, two tabs write the same bytes, and a stale chunk cannot be taken for a new one.

export interface FolderRecord {
  /** Text of its lorapress.json. */
  readonly manifest: string;
  /** Digests of all chunks that it names. */
  readonly digests: readonly string[];
}

export interface ChunkStore {
  /** Whether stored chunks outlive the page. */
  readonly persistent: boolean;
  get(digest: string): Promise<Uint8Array | undefined>;
  /** REQUIRES: `bytes` keep their content until release(). */
  put(digest: string, bytes: Uint8Array): Promise<void>;
  /** A chunk that is read later, part by part; undefined where the store has none to give. */
  open?(digest: string): Promise<Blob | undefined>;
  remove(digest: string): Promise<void>;
  /** The engine holds these chunks now; a store in memory drops them. */
  release(digests: readonly string[]): Promise<void>;
  readFolder(url: string): Promise<FolderRecord | undefined>;
  /** Replaces the folder's record and drops the chunks that no folder names any more. */
  writeFolder(url: string, record: FolderRecord): Promise<void>;
  clear(): Promise<void>;
}

/** Digests that the records name. */
export function namedBy(folders: readonly FolderRecord[]): Set<string> {
  return new Set(folders.flatMap(({ digests }) => digests));
}
