// A file in the pieces in which it arrived. No copy of the whole is ever made: weights go from here to
// where the engine keeps them.

export type Range = readonly [begin: number, end: number];

/** The memory in which a reader of files wants the pieces. */
export interface PieceMemory {
  allocate(bytes: number): Uint8Array;
  free(piece: Uint8Array): void;
}

export class Pieces {
  readonly size: number;
  private readonly parts: Uint8Array[];
  private readonly starts: readonly number[];
  private readonly free: (piece: Uint8Array) => void;
  private dropped = 0;

  /** `free` releases a piece's memory; without `free` it is left to the garbage collector. */
  constructor(parts: readonly Uint8Array[], free: (piece: Uint8Array) => void = () => {}) {
    this.free = free;
    this.parts = [...parts];
    let size = 0;
    this.starts = parts.map((part) => {
      const start = size;
      size += part.length;
      return start;
    });
    this.size = size;
  }

  /** Bytes `begin` to `end`: a view where they lie in one piece, else a copy. */
  read(begin: number, end: number): Uint8Array {
    if (!(begin >= 0 && begin <= end && end <= this.size)) {
      throw new RangeError(`bytes ${begin} to ${end} of a file of ${this.size}`);
    }
    let index = this.indexOf(begin);
    const at = begin - (this.starts[index] ?? 0);
    const first = this.parts[index]?.subarray(at, at + end - begin) ?? new Uint8Array(0);
    if (first.length === end - begin) {
      return first;
    }
    if (first.length === 0) {
      throw new RangeError(`bytes ${begin} to ${end} were dropped`);
    }
    const joined = new Uint8Array(end - begin);
    joined.set(first);
    for (let got = first.length; got < joined.length; ) {
      const piece = this.parts[++index]?.subarray(0, joined.length - got);
      if (piece === undefined || piece.length === 0) {
        throw new RangeError(`bytes ${begin} to ${end} were dropped`);
      }
      joined.set(piece, got);
      got += piece.length;
    }
    return joined;
  }

  /** The bytes `begin` to `end` as views, one for each piece. */
  *views(begin: number, end: number): Generator<Uint8Array> {
    for (let at = begin; at < end; ) {
      const index = this.indexOf(at);
      const start = this.starts[index] as number;
      const view = (this.parts[index] as Uint8Array).subarray(at - start, end - start);
      if (view.length === 0) {
        throw new RangeError(`bytes ${begin} to ${end} of a file of ${this.size}`);
      }
      at += view.length; // the piece may be dropped as soon as its view is yielded
      yield view;
    }
  }

  /** Bytes before `end` are not read again: pieces that end before are freed. */
  drop(end: number): void {
    while (
      this.dropped < this.parts.length &&
      (this.starts[this.dropped + 1] ?? this.size) <= end
    ) {
      this.free(this.parts[this.dropped] as Uint8Array);
      this.parts[this.dropped] = new Uint8Array(0);
      this.dropped += 1;
    }
  }

  // The piece that holds byte `at`; pieces have no common size.
  private indexOf(at: number): number {
    let [low, high] = [0, this.parts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.starts[middle] as number) <= at) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }
}
