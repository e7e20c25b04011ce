// Reads files into the engine's memory.
import { allocate, type Loader } from "./loader.js";
import { CHUNK_BYTES } from "./manifest.js";
import { type PieceMemory, Pieces } from "./pieces.js";

/** Not a part of Loader, which pages that only download use alone. */
export class PieceReader {
  private readonly loader: Loader;
  /** Free chunk buffers, for the next chunks. */
  private readonly spare: Uint8Array[] = [];

  constructor(loader: Loader) {
    this.loader = loader;
  }

  /** In `memory`, chunk by chunk; as one array without it. */
  async read(path: string, memory?: PieceMemory): Promise<Pieces> {
    if (memory === undefined) {
      return new Pieces([await this.loader.bytes(path)]);
    }
    const file = this.loader.fileOf(path);
    const pieces: Uint8Array[] = [];
    const coming = new Map<number, Uint8Array>();
    const buffer = (i: number): Uint8Array => {
      const size = Math.min(CHUNK_BYTES, file.bytes - i * CHUNK_BYTES);
      const fresh = size === CHUNK_BYTES ? this.spare.pop() : undefined;
      const bytes = coming.get(i) ?? fresh ?? allocate(file, size);
      coming.set(i, bytes);
      return bytes;
    };
    const accept = (i: number, found: Uint8Array): void => {
      const piece = memory.allocate(found.length);
      piece.set(found);
      pieces[i] = piece;
      // A store in memory holds this very array.
      if (coming.delete(i) && this.loader.store.persistent && found.length === CHUNK_BYTES) {
        this.spare.push(found);
      }
    };
    await this.loader.reader.read(file, { buffer, accept });
    return new Pieces(pieces, (piece) => memory.free(piece));
  }
}
