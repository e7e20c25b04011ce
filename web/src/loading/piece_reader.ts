// Reads files for the engine.
import { freeNow } from "./free_now.js";
import { allocate, type Loader } from "./loader.js";
import { CHUNK_BYTES } from "./manifest.js";
import { type PieceMemory, Pieces } from "./pieces.js";

/** Not a part of Loader, which pages that only download use alone. */
export class PieceReader {
  private readonly loader: Loader;

  constructor(loader: Loader) {
    this.loader = loader;
  }

  /** In `memory`, chunk by chunk; as one array without it. */
  async read(path: string, memory?: PieceMemory): Promise<Pieces> {
    if (memory === undefined) {
      return new Pieces([await this.loader.bytes(path)]);
    }
    const pieces: Uint8Array[] = [];
    await this.chunks(path, (i, found) => {
      const piece = memory.allocate(found.length);
      piece.set(found);
      pieces[i] = piece;
      this.free(found);
    });
    return new Pieces(pieces, (piece) => memory.free(piece));
  }

  /** Every chunk, verified, in the order in which they come. They are the caller's, who gives each to free(). */
  async chunks(path: string, take: (index: number, bytes: Uint8Array) => void): Promise<void> {
    const file = this.loader.fileOf(path);
    const coming = new Map<number, Uint8Array>();
    const buffer = (i: number): Uint8Array => {
      const size = Math.min(CHUNK_BYTES, file.bytes - i * CHUNK_BYTES);
      const bytes = coming.get(i) ?? allocate(file, size);
      coming.set(i, bytes);
      return bytes;
    };
    const accept = (i: number, found: Uint8Array): void => {
      coming.delete(i);
      take(i, found);
    };
    await this.loader.reader.read(file, { buffer, accept });
  }

  /** Nothing is read of the chunk any more. */
  free(chunk: Uint8Array): void {
    // A store in memory holds this very array.
    if (this.loader.store.persistent) {
      freeNow(chunk as Uint8Array<ArrayBuffer>);
    }
  }
}
