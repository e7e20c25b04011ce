// A folder's manifest and files, each file as one array or chunk by chunk.
import { fail, LorapressError } from "../errors.js";
import { ChunkReader, contextOf, type ReadOptions } from "./chunk_reader.js";
import { decodeUtf8, fetchText, fileUrl, NoRanges } from "./fetch.js";
import { parseJson } from "./json.js";
import {
  CHUNK_BYTES,
  MANIFEST_NAME,
  MAX_MANIFEST_BYTES,
  type Manifest,
  type ManifestFile,
  parseManifest,
} from "./manifest.js";
import type { ChunkStore } from "./stores.js";

export interface LoaderOptions extends ReadOptions {
  /**
   * "check": ask the server whether the manifest changed (one conditional request; without an answer
   * the stored manifest is used). "stored": no request while everything is stored.
   */
  readonly update?: "check" | "stored" | undefined;
}

export class Loader {
  readonly manifest: Manifest;
  private readonly folder: URL;
  readonly store: ChunkStore;
  readonly reader: ChunkReader;

  private constructor(folder: URL, manifest: Manifest, options: LoaderOptions) {
    this.folder = folder;
    this.manifest = manifest;
    this.store = options.store;
    this.reader = new ChunkReader(folder, options);
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
      // Offline, or a server that is down: stored files were verified before.
      if (stored === undefined || !(error instanceof LorapressError) || error.code !== "io") {
        throw error;
      }
      options.meter.note("The server does not answer; the stored model is used.");
      return new Loader(folder, parseManifest(stored.manifest, url), options);
    }
    const manifest = parseManifest(text, url);
    if (stored?.manifest !== text) {
      const digests = [...manifest.files.values()].flatMap(({ sha256 }) => sha256);
      await store.writeFolder(folder.href, { manifest: text, digests });
    }
    return new Loader(folder, manifest, options);
  }

  /** A file's bytes, every chunk verified. Files arrive in the order of the calls. */
  async bytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
    const file = this.fileOf(path);
    const whole = lazily(() => allocate(file, file.bytes));
    const buffer = (i: number): Uint8Array<ArrayBuffer> =>
      whole().subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES);
    const accept = (i: number, found: Uint8Array): void => {
      if (found.buffer !== whole().buffer) {
        buffer(i).set(found);
      }
    };
    await this.reader.read(file, { buffer, accept });
    return whole();
  }

  fileOf(path: string): ManifestFile {
    return (
      this.manifest.files.get(path) ??
      fail("not_found", `${this.folder.href}: lorapress.json lists no ${path}`)
    );
  }

  /**
   * A file chunk by chunk, in order, every chunk verified; at most `ahead` are fetched before they are
   * requested. Where the server has no ranges, the file is gathered first.
   */
  async *chunks(path: string, ahead = 4): AsyncGenerator<Uint8Array, void, undefined> {
    const file = this.fileOf(path);
    const coming: Promise<Uint8Array>[] = [];
    const fetchChunk = async (index: number): Promise<Uint8Array> => {
      const fresh = lazily(() =>
        allocate(file, Math.min(CHUNK_BYTES, file.bytes - index * CHUNK_BYTES)),
      );
      let verified: Uint8Array | undefined;
      const accept = (_: number, found: Uint8Array): void => {
        verified = found;
      };
      await this.reader.readChunk(file, index, { buffer: fresh, accept });
      return verified ?? fresh();
    };
    for (let i = 0; i < file.sha256.length; ++i) {
      for (let next = i + coming.length; next < Math.min(i + ahead, file.sha256.length); ++next) {
        const chunk = fetchChunk(next);
        chunk.catch(() => {}); // thrown when its turn comes, if it does
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

  /** Tells the store that the engine holds the file's content. */
  async release(path: string): Promise<void> {
    await this.store.release(this.manifest.files.get(path)?.sha256 ?? []);
  }

  async text(path: string): Promise<string> {
    return decodeUtf8(await this.bytes(path), fileUrl(this.folder, path));
  }

  async json(path: string): Promise<unknown> {
    return parseJson(await this.text(path), fileUrl(this.folder, path));
  }
}

// Allocated with the first byte: files that wait for their turn hold no memory.
function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

export function allocate(file: ManifestFile, bytes: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes);
  } catch (error) {
    fail("io", `${file.path}: no memory for its ${file.bytes} bytes; try a smaller dtype`, error);
  }
}
