// Reads files for the engine.
import { fail } from "../errors.js";
import type { Destination } from "./chunk_reader.js";
import { freeNow } from "./free_now.js";
import { allocate, type Loader } from "./loader.js";
import { CHUNK_BYTES } from "./manifest.js";
import { type PieceMemory, Pieces } from "./pieces.js";

/** In memory, or in the store. */
export type Chunk = Uint8Array | Blob;

/** Not a part of Loader, which pages that only download use alone. */
export class PieceReader {
  private readonly loader: Loader;
  private readonly lean: boolean;

  /** `lean`: chunks stay in the store, where there is one from which an engine in this thread can read them. */
  constructor(loader: Loader, lean = false) {
    this.loader = loader;
    this.lean = lean && "FileReaderSync" in globalThis;
  }

  /** In `memory`, chunk by chunk; as one array without it. */
  async read(path: string, memory?: PieceMemory): Promise<Pieces> {
    if (memory === undefined) {
      return new Pieces([await this.loader.bytes(path)]);
    }
    const pieces: Uint8Array[] = [];
    await this.verified(path, (i, found) => {
      const piece = memory.allocate(found.length);
      piece.set(found);
      pieces[i] = piece;
      this.free(found);
    });
    return new Pieces(pieces, (piece) => memory.free(piece));
  }

  /** Every chunk, verified, in any order. They are the caller's, who gives each to free(). */
  async chunks(path: string, take: (index: number, chunk: Chunk) => void): Promise<void> {
    if (!this.lean) {
      return this.verified(path, take);
    }
    await this.verified(path, (_, found) => this.free(found));
    const { store } = this.loader;
    for (const [i, digest] of this.loader.fileOf(path).sha256.entries()) {
      const found = (await store.open?.(digest)) ?? (await store.get(digest));
      take(i, found ?? fail("io", `${path}: chunk ${i + 1} has left the browser's storage`));
    }
  }

  /** Nothing is read of the chunk any more. */
  free(chunk: Chunk): void {
    // A store in memory holds this very array.
    if (chunk instanceof Uint8Array && this.loader.store.persistent) {
      freeNow(chunk as Uint8Array<ArrayBuffer>);
    }
  }

  private verified(path: string, accept: Destination["accept"]): Promise<void> {
    const file = this.loader.fileOf(path);
    const coming = new Map<number, Uint8Array>();
    const buffer = (i: number): Uint8Array => {
      const size = Math.min(CHUNK_BYTES, file.bytes - i * CHUNK_BYTES);
      const bytes = coming.get(i) ?? allocate(file, size);
      coming.set(i, bytes);
      return bytes;
    };
    const taken: Destination["accept"] = (i, found) => {
      coming.delete(i);
      accept(i, found);
    };
    return this.loader.reader.read(file, { buffer, accept: taken });
  }
}
