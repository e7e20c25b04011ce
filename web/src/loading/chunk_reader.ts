// Verified chunks of a folder's files: from the store where it has them, else from the network; every chunk is
// hashed before it is used.
import { LorapressError } from "../errors.js";
import { fetchAnything } from "./disk.js";
import {
  type Fetch,
  type FetchContext,
  fetchRange,
  fetchWhole,
  fileUrl,
  NoRanges,
} from "./fetch.js";
import { requireDigest } from "./integrity.js";
import { Limiter } from "./limiter.js";
import { CHUNK_BYTES, type ManifestFile } from "./manifest.js";
import type { ProgressMeter } from "./progress.js";
import type { ChunkStore } from "./stores.js";

export interface ReadOptions {
  readonly store: ChunkStore;
  readonly meter: ProgressMeter;
  readonly signal: AbortSignal;
  readonly fetch?: Fetch | undefined;
  readonly parallel?: number | undefined;
  readonly retries?: number | undefined;
  readonly retryDelayMs?: number | undefined;
  readonly stallMs?: number | undefined;
}

/** Where a file's chunks go. */
export interface Destination {
  /** The memory to write the chunk to; the same until the chunk is accepted. */
  buffer(index: number): Uint8Array;
  /** The chunk's content, verified: the memory of buffer(), or the store's array. */
  accept(index: number, found: Uint8Array): void;
}

export class ChunkReader {
  private readonly folder: URL;
  private readonly options: ReadOptions;
  private readonly context: FetchContext;
  private readonly limiter: Limiter;
  private noRanges = false;

  constructor(folder: URL, options: ReadOptions) {
    this.folder = folder;
    this.options = options;
    this.context = contextOf(options);
    this.limiter = new Limiter(options.parallel ?? 4);
  }

  /** All of a file, chunks in the order in which they come; from a server without ranges as one stream. */
  async read(file: ManifestFile, into: Destination): Promise<void> {
    const results = await Promise.allSettled(
      file.sha256.map((_, i) => this.readChunk(file, i, into)),
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

  /** Throws NoRanges where only whole files can be had. */
  readChunk(file: ManifestFile, index: number, into: Destination): Promise<void> {
    return this.limiter.run(() => this.findChunk(file, index, into));
  }

  private async findChunk(file: ManifestFile, index: number, into: Destination): Promise<void> {
    const { store, meter, signal } = this.options;
    signal.throwIfAborted();
    const digest = file.sha256[index] as string;
    const start = index * CHUNK_BYTES;
    const size = Math.min(CHUNK_BYTES, file.bytes - start);
    const where = `${fileUrl(this.folder, file.path)} (chunk ${index + 1} of ${file.sha256.length})`;
    const found = await this.stored(digest, size, where);
    if (found !== undefined) {
      into.accept(index, found);
      meter.addStored(size);
      return;
    }
    if (this.noRanges) {
      throw new NoRanges();
    }
    const bytes = into.buffer(index);
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
    into.accept(index, bytes);
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
    const onPiece = async (piece: Uint8Array, at: number): Promise<void> => {
      const end = at + piece.length;
      for (let i = Math.floor(at / CHUNK_BYTES); i * CHUNK_BYTES < end; ++i) {
        const begin = i * CHUNK_BYTES;
        const bytes = into.buffer(i);
        const [from, to] = [Math.max(at, begin), Math.min(end, begin + bytes.length)];
        if (!have.has(i)) {
          bytes.set(piece.subarray(from - at, to - at), from - begin);
          if (to === begin + bytes.length) {
            const digest = file.sha256[i] as string;
            await requireDigest(bytes, digest, `${url} (chunk ${i + 1} of ${file.sha256.length})`);
            await this.options.store.put(digest, bytes);
            into.accept(i, bytes);
            have.add(i);
          }
        }
      }
    };
    return fetchWhole(url, file.bytes, onPiece, this.context);
  }
}

export function contextOf(options: ReadOptions, retries?: number): FetchContext {
  return {
    fetch: options.fetch ?? fetchAnything,
    signal: options.signal,
    retries: retries ?? options.retries ?? 5,
    retryDelayMs: options.retryDelayMs ?? 500,
    stallMs: options.stallMs ?? 30_000,
    onBytes: (count) => options.meter.addNetwork(count),
  };
}
