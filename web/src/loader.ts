// A folder's manifest and files: from the store where they are there, else from the network in
// parallel chunks; every chunk is hashed before anyone sees it.
import type { ChunkStore } from "./cache.js";
import { fail, LorapressError } from "./errors.js";
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
    const file = this.listed(path);
    const into = lazyBuffer(file);
    const part = (start: number) => () => into().subarray(start, start + CHUNK_BYTES);
    const results = await Promise.allSettled(
      file.sha256.map((_, i) => this.limiter.run(() => this.chunk(file, i, part(i * CHUNK_BYTES)))),
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
      await this.limiter.run(() => this.whole(file, into(), have));
    }
    return into();
  }

  /**
   * A file chunk by chunk, in order, every one verified; at most `ahead` are fetched before they are
   * asked for. Where the server has no ranges, the file is gathered first.
   */
  async *chunks(path: string, ahead = 4): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
    const file = this.listed(path);
    const coming: Promise<Uint8Array<ArrayBuffer>>[] = [];
    const fetchChunk = async (index: number): Promise<Uint8Array<ArrayBuffer>> => {
      const size = Math.min(CHUNK_BYTES, file.bytes - index * CHUNK_BYTES);
      const into = new Uint8Array(size);
      await this.chunk(file, index, () => into);
      return into;
    };
    for (let i = 0; i < file.sha256.length; ++i) {
      for (let next = i + coming.length; next < Math.min(i + ahead, file.sha256.length); ++next) {
        const chunk = this.limiter.run(() => fetchChunk(next));
        chunk.catch(() => {}); // told when its turn comes, if it does
        coming.push(chunk);
      }
      try {
        yield (await coming.shift()) as Uint8Array<ArrayBuffer>;
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

  private listed(path: string): ManifestFile {
    const file = this.manifest.files.get(path);
    if (file === undefined) {
      fail("not_found", `${this.folder.href}: lorapress.json lists no ${path}`);
    }
    return file;
  }

  private async chunk(file: ManifestFile, index: number, buffer: () => Uint8Array): Promise<void> {
    const { store, meter, signal } = this.options;
    signal.throwIfAborted();
    const into = buffer();
    const digest = file.sha256[index] as string;
    const start = index * CHUNK_BYTES;
    const where = `${fileUrl(this.folder, file.path)} (chunk ${index + 1} of ${file.sha256.length})`;
    if (await this.takeStored(digest, into, where)) {
      meter.addStored(into.length);
      return;
    }
    if (this.noRanges) {
      throw new NoRanges();
    }
    const fetchOnce = async (): Promise<void> => {
      await fetchRange(fileUrl(this.folder, file.path), start, file.bytes, into, this.context);
      await requireDigest(into, digest, where);
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
      meter.addNetwork(-into.length); // once more: a bit may have flipped on the way
      await fetchOnce();
    }
    await store.put(digest, into);
  }

  // A chunk of the store is hashed too: disks fail, and scripts of the same origin may write there.
  private async takeStored(digest: string, into: Uint8Array, where: string): Promise<boolean> {
    const found = await this.options.store.get(digest);
    if (found === undefined) {
      return false;
    }
    try {
      if (found.length !== into.length) {
        throw new Error("another size");
      }
      await requireDigest(found, digest, where);
    } catch {
      await this.options.store.remove(digest);
      return false;
    }
    if (found.buffer !== into.buffer) {
      into.set(found);
    }
    return true;
  }

  // A server without ranges: one stream, hashed chunk by chunk while it comes.
  private async whole(file: ManifestFile, into: Uint8Array, have: Set<number>): Promise<void> {
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
        this.options.meter.addNetwork(-into.length);
      }
    }
  }

  // Writes only into chunks that are not verified yet: a second stream may bring other bytes.
  private stream(
    file: ManifestFile,
    url: string,
    into: Uint8Array,
    have: Set<number>,
  ): Promise<void> {
    const take = async (piece: Uint8Array, at: number): Promise<void> => {
      const end = at + piece.length;
      for (let i = Math.floor(at / CHUNK_BYTES); i * CHUNK_BYTES < end; ++i) {
        const begin = i * CHUNK_BYTES;
        const bytes = into.subarray(begin, begin + CHUNK_BYTES);
        const [from, to] = [Math.max(at, begin), Math.min(end, begin + bytes.length)];
        if (!have.has(i)) {
          bytes.set(piece.subarray(from - at, to - at), from - begin);
          if (to === begin + bytes.length) {
            const digest = file.sha256[i] as string;
            await requireDigest(bytes, digest, `${url} (chunk ${i + 1} of ${file.sha256.length})`);
            await this.options.store.put(digest, bytes);
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

// Taken when the first chunk is at hand: files that wait for their turn hold no memory.
function lazyBuffer(file: ManifestFile): () => Uint8Array<ArrayBuffer> {
  let buffer: Uint8Array<ArrayBuffer> | undefined;
  return () => {
    if (buffer === undefined) {
      try {
        buffer = new Uint8Array(file.bytes);
      } catch (error) {
        fail(
          "io",
          `${file.path}: no memory for its ${file.bytes} bytes; try a smaller dtype`,
          error,
        );
      }
    }
    return buffer;
  };
}
