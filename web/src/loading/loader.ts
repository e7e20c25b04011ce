// A folder's manifest and files: from the store where they are there, else from the network in
// parallel chunks; every chunk is hashed before anyone sees it.

import type { Engine } from "../engine/engine_api.js";
import { fail, LorapressError } from "../errors.js";
import type { ChunkStore } from "./cache.js";
import {
  decodeUtf8,
  type Fetch,
  type FetchContext,
  fetchRange,
  fetchText,
  fetchWhole,
  fileUrl,
  NoRanges,
} from "./fetch.js";
import { requireDigest } from "./integrity.js";
import { parseJson } from "./json.js";
import {
  CHUNK_BYTES,
  MANIFEST_NAME,
  MAX_MANIFEST_BYTES,
  type Manifest,
  type ManifestFile,
  parseManifest,
} from "./manifest.js";
import { Pieces } from "./pieces.js";
import type { ProgressMeter } from "./progress.js";

export interface LoaderOptions {
  readonly store: ChunkStore;
  readonly meter: ProgressMeter;
  readonly signal: AbortSignal;
  readonly fetch?: Fetch | undefined;
  /**
   * "check": ask the server whether the manifest changed (one conditional request; without an answer
   * the stored one serves). "stored": no request while everything is stored.
   */
  readonly update?: "check" | "stored" | undefined;
  readonly parallel?: number | undefined;
  readonly retries?: number | undefined;
  readonly retryDelayMs?: number | undefined;
  readonly stallMs?: number | undefined;
}

/** Runs at most `most` tasks at once, in the order they came. */
export class Limiter {
  private readonly waiting: (() => void)[] = [];
  private free: number;

  constructor(most: number) {
    this.free = most;
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.free > 0) {
      this.free -= 1;
    } else {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    try {
      return await task();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) {
        this.free += 1;
      } else {
        next();
      }
    }
  }
}

export class Loader {
  readonly manifest: Manifest;
  private readonly folder: URL;
  private readonly options: LoaderOptions;
  private readonly context: FetchContext;
  private readonly limiter: Limiter;
  /** Chunks in which nothing is any more, for the next to arrive in. */
  private readonly spare: Uint8Array[] = [];
  private noRanges = false;

  private constructor(folder: URL, manifest: Manifest, options: LoaderOptions) {
    this.folder = folder;
    this.manifest = manifest;
    this.options = options;
    this.context = contextOf(options);
    this.limiter = new Limiter(options.parallel ?? 4);
  }

  static async open(folder: URL, options: LoaderOptions): Promise<Loader> {
    const { store, update = "check" } = options;
    const stored = await store.readFolder(folder.href);
    const url = fileUrl(folder, MANIFEST_NAME);
    if (stored !== undefined && update === "stored") {
      return new Loader(folder, parseManifest(stored.manifest, url), options);
    }
    let text: string;
    try {
      const context = contextOf(options, stored === undefined ? undefined : 0);
      text = await fetchText(url, MAX_MANIFEST_BYTES, "no-cache", context);
    } catch (error) {
      // Offline, or a server that is down: what was verified once still is.
      if (stored === undefined || !(error instanceof LorapressError) || error.code !== "io") {
        throw error;
      }
      options.meter.say("The server does not answer; the stored model is used.");
      return new Loader(folder, parseManifest(stored.manifest, url), options);
    }
    const manifest = parseManifest(text, url);
    if (stored?.manifest !== text) {
      const digests = [...manifest.files.values()].flatMap(({ sha256 }) => sha256);
      await store.writeFolder(folder.href, { manifest: text, digests });
    }
    return new Loader(folder, manifest, options);
  }

  /** A file's bytes, every chunk verified. Files come in the order in which they are asked for. */
  async bytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
    const file = this.fileOf(path);
    const whole = lazily(() => allocate(file, file.bytes));
    const chunk = (i: number): Uint8Array<ArrayBuffer> =>
      whole().subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES);
    const take = (i: number, found: Uint8Array): void => {
      if (found.buffer !== whole().buffer) {
        chunk(i).set(found);
      }
    };
    await this.fill(file, { chunk, take });
    return whole();
  }

  /** The same in memory of the engine's, chunk by chunk; as one array where it has none. */
  async pieces(path: string, engine: Pick<Engine, "room" | "freeRoom">): Promise<Pieces> {
    if (engine.room === undefined) {
      return new Pieces([await this.bytes(path)]);
    }
    const file = this.fileOf(path);
    const rooms: Uint8Array[] = [];
    const coming = new Map<number, Uint8Array>();
    const chunk = (i: number): Uint8Array => {
      const size = Math.min(CHUNK_BYTES, file.bytes - i * CHUNK_BYTES);
      const fresh = size === CHUNK_BYTES ? this.spare.pop() : undefined;
      const bytes = coming.get(i) ?? fresh ?? allocate(file, size);
      coming.set(i, bytes);
      return bytes;
    };
    const take = (i: number, found: Uint8Array): void => {
      const room = engine.room?.(found.length) ?? found;
      room.set(found);
      rooms[i] = room;
      // A store that holds what it is given in memory holds this very array.
      if (coming.delete(i) && this.options.store.persistent && found.length === CHUNK_BYTES) {
        this.spare.push(found);
      }
    };
    await this.fill(file, { chunk, take });
    return new Pieces(rooms, (room) => engine.freeRoom?.(room));
  }

  private fileOf(path: string): ManifestFile {
    return (
      this.manifest.files.get(path) ??
      fail("not_found", `${this.folder.href}: lorapress.json lists no ${path}`)
    );
  }

  private async fill(file: ManifestFile, into: Destination): Promise<void> {
    const results = await Promise.allSettled(
      file.sha256.map((_, i) => this.limiter.run(() => this.chunk(file, i, into))),
    );
    const failures = results.flatMap((result) =>
      result.status === "rejected" ? [result.reason as unknown] : [],
    );
    const hard = failures.find((error) => !(error instanceof NoRanges));
    if (hard !== undefined) {
      throw hard;
    }
    if (failures.length > 0) {
      const have = new Set(results.flatMap(({ status }, i) => (status === "fulfilled" ? [i] : [])));
      await this.limiter.run(() => this.whole(file, into, have));
    }
  }

  /**
   * A file chunk by chunk, in order, every one verified; at most `ahead` are fetched before they are
   * asked for. Where the server has no ranges, the file is gathered first.
   */
  async *chunks(path: string, ahead = 4): AsyncGenerator<Uint8Array, void, undefined> {
    const file = this.fileOf(path);
    const coming: Promise<Uint8Array>[] = [];
    const fetchChunk = async (index: number): Promise<Uint8Array> => {
      const fresh = lazily(() =>
        allocate(file, Math.min(CHUNK_BYTES, file.bytes - index * CHUNK_BYTES)),
      );
      let taken: Uint8Array | undefined;
      const take = (_: number, found: Uint8Array): void => {
        taken = found;
      };
      await this.chunk(file, index, { chunk: fresh, take });
      return taken ?? fresh();
    };
    for (let i = 0; i < file.sha256.length; ++i) {
      for (let next = i + coming.length; next < Math.min(i + ahead, file.sha256.length); ++next) {
        const chunk = this.limiter.run(() => fetchChunk(next));
        chunk.catch(() => {}); // told when its turn comes, if it does
        coming.push(chunk);
      }
      try {
        yield (await coming.shift()) as Uint8Array;
      } catch (error) {
        if (!(error instanceof NoRanges)) {
          throw error;
        }
        const all = await this.bytes(path);
        yield all.subarray(i * CHUNK_BYTES);
        return;
      }
    }
  }

  /** The engine holds the file's content. */
  async release(path: string): Promise<void> {
    await this.options.store.release(this.manifest.files.get(path)?.sha256 ?? []);
  }

  async json(path: string): Promise<unknown> {
    const url = fileUrl(this.folder, path);
    return parseJson(decodeUtf8(await this.bytes(path), url), url);
  }

  private async chunk(file: ManifestFile, index: number, into: Destination): Promise<void> {
    const { store, meter, signal } = this.options;
    signal.throwIfAborted();
    const digest = file.sha256[index] as string;
    const start = index * CHUNK_BYTES;
    const size = Math.min(CHUNK_BYTES, file.bytes - start);
    const where = `${fileUrl(this.folder, file.path)} (chunk ${index + 1} of ${file.sha256.length})`;
    const found = await this.stored(digest, size, where);
    if (found !== undefined) {
      into.take(index, found);
      meter.addStored(size);
      return;
    }
    if (this.noRanges) {
      throw new NoRanges();
    }
    const bytes = into.chunk(index);
    const fetchOnce = async (): Promise<void> => {
      await fetchRange(fileUrl(this.folder, file.path), start, file.bytes, bytes, this.context);
      await requireDigest(bytes, digest, where);
    };
    try {
      await fetchOnce();
    } catch (error) {
      if (error instanceof NoRanges) {
        this.noRanges = true;
      }
      if (!(error instanceof LorapressError) || error.code !== "invalid_file") {
        throw error;
      }
      meter.addNetwork(-size); // once more: a bit may have flipped on the way
      await fetchOnce();
    }
    await store.put(digest, bytes);
    into.take(index, bytes);
  }

  // A chunk of the store is hashed too: disks fail, and scripts of the same origin may write there.
  private async stored(
    digest: string,
    size: number,
    where: string,
  ): Promise<Uint8Array | undefined> {
    const found = await this.options.store.get(digest);
    if (found === undefined) {
      return undefined;
    }
    try {
      if (found.length !== size) {
        throw new Error("another size");
      }
      await requireDigest(found, digest, where);
    } catch {
      await this.options.store.remove(digest);
      return undefined;
    }
    return found;
  }

  // A server without ranges: one stream, hashed chunk by chunk while it comes.
  private async whole(file: ManifestFile, into: Destination, have: Set<number>): Promise<void> {
    const url = fileUrl(this.folder, file.path);
    for (let attempt = 0; ; ++attempt) {
      try {
        await this.stream(file, url, into, have);
        return;
      } catch (error) {
        const again = error instanceof LorapressError && error.code === "invalid_file";
        if (!again || attempt > 0) {
          throw error;
        }
        this.options.meter.addNetwork(-file.bytes);
      }
    }
  }

  // Writes only into chunks that are not verified yet: a second stream may bring other bytes.
  private stream(
    file: ManifestFile,
    url: string,
    into: Destination,
    have: Set<number>,
  ): Promise<void> {
    const take = async (piece: Uint8Array, at: number): Promise<void> => {
      const end = at + piece.length;
      for (let i = Math.floor(at / CHUNK_BYTES); i * CHUNK_BYTES < end; ++i) {
        const begin = i * CHUNK_BYTES;
        const bytes = into.chunk(i);
        const [from, to] = [Math.max(at, begin), Math.min(end, begin + bytes.length)];
        if (!have.has(i)) {
          bytes.set(piece.subarray(from - at, to - at), from - begin);
          if (to === begin + bytes.length) {
            const digest = file.sha256[i] as string;
            await requireDigest(bytes, digest, `${url} (chunk ${i + 1} of ${file.sha256.length})`);
            await this.options.store.put(digest, bytes);
            into.take(i, bytes);
            have.add(i);
          }
        }
      }
    };
    return fetchWhole(url, file.bytes, take, this.context);
  }
}

function contextOf(options: LoaderOptions, retries?: number): FetchContext {
  return {
    fetch: options.fetch ?? ((url, init) => fetch(url, init)),
    signal: options.signal,
    retries: retries ?? options.retries ?? 5,
    retryDelayMs: options.retryDelayMs ?? 500,
    stallMs: options.stallMs ?? 30_000,
    onBytes: (count) => options.meter.addNetwork(count),
  };
}

/** Where a file's chunks go. */
interface Destination {
  /** To be written to; the same until it is taken. */
  chunk(index: number): Uint8Array;
  /** The chunk's content, verified: what chunk() gave, or the store's. */
  take(index: number, found: Uint8Array): void;
}

// Taken when the first byte is at hand: files that wait for their turn hold no memory.
function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

function allocate(file: ManifestFile, bytes: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes);
  } catch (error) {
    fail("io", `${file.path}: no memory for its ${file.bytes} bytes; try a smaller dtype`, error);
  }
}
