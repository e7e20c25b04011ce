// Reads files into the engine's memory.
import { allocate, type Loader } from "./loader.js";
import { CHUNK_BYTES } from "./manifest.js";
import { type PieceMemory, Pieces } from "./pieces.js";

/** Gives memory back now: the garbage collector does not run while an engine runs. */
function freeNow({ buffer }: Uint8Array): void {
  (buffer as { transfer?: (size: number) => ArrayBuffer }).transfer?.(0);
}

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
    const pieces: Uint8Array[] = [];
    await this.chunks(path, (i, found) => {
      const piece = memory.allocate(found.length);
      piece.set(found);
      pieces[i] = piece;
    });
    return new Pieces(pieces, (piece) => memory.free(piece));
  }

  /** Every chunk, verified, in the order in which they come; the array is used again when `take` returns. */
  async chunks(path: string, take: (index: number, bytes: Uint8Array) => void): Promise<void> {
    const file = this.loader.fileOf(path);
    const coming = new Map<number, Uint8Array>();
    const buffer = (i: number): Uint8Array => {
      const size = Math.min(CHUNK_BYTES, file.bytes - i * CHUNK_BYTES);
      const fresh = size === CHUNK_BYTES ? this.spare.pop() : undefined;
      const bytes = coming.get(i) ?? fresh ?? allocate(file, size);
      coming.set(i, bytes);
      return bytes;
    };
    const accept = (i: number, found: Uint8Array): void => {
      take(i, found);
      const ours = coming.delete(i);
      if (!this.loader.store.persistent) {
        return; // a store in memory holds this very array
      }
      if (ours && found.length === CHUNK_BYTES) {
        this.spare.push(found);
      } else {
        freeNow(found);
      }
    };
    await this.loader.reader.read(file, { buffer, accept });
  }

  /** Nothing more will be read for a while. */
  rest(): void {
    for (const bytes of this.spare.splice(0)) {
      freeNow(bytes);
    }
  }
}
