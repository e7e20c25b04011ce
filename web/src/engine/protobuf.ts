// The wire format of protocol buffers (protobuf.dev/programming-guides/encoding), as far as a graph
// file needs it: fields are found without reading their content, and written again.
import { fail } from "../errors.js";
import type { Pieces } from "../loading/pieces.js";

export interface Field {
  readonly number: number;
  /** 0: a number, in `value`; 1, 5: eight or four bytes; 2: bytes. */
  readonly wire: number;
  /** Offsets of the tag, of the content, and behind the content. */
  readonly begin: number;
  readonly content: number;
  readonly end: number;
  readonly value: number;
}

const MAX_HEADER = 20; // two variable-length numbers of ten bytes

function broken(): never {
  fail("invalid_file", "the graph is no ONNX file: broken field");
}

/** The fields of a message in bytes `begin` to `end`. */
export function* fields(file: Pieces, begin: number, end: number): Generator<Field> {
  for (let at = begin; at < end; ) {
    const header = file.read(at, Math.min(at + MAX_HEADER, end));
    let used = 0;
    const number = (): number => {
      let value = 0;
      for (let power = 1; ; power *= 128) {
        const byte = header[used++];
        if (byte === undefined || used > MAX_HEADER) {
          broken();
        }
        value += (byte & 127) * power;
        if (byte < 128) {
          return value;
        }
      }
    };
    const tag = number();
    const wire = tag % 8;
    const value = wire === 0 || wire === 2 ? number() : 0;
    const size = { 0: 0, 1: 8, 2: value, 5: 4 }[wire] ?? broken();
    const content = at + used;
    if (!(content + size <= end) || tag < 8) {
      broken();
    }
    yield { number: Math.floor(tag / 8), wire, begin: at, content, end: content + size, value };
    at = content + size;
  }
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export function textOf(file: Pieces, field: Field): string {
  return decoder.decode(file.read(field.content, field.end).slice());
}

/** A message that is being written. */
export class Message {
  private readonly parts: Uint8Array[] = [];
  private size = 0;

  raw(bytes: Uint8Array): this {
    this.parts.push(bytes);
    this.size += bytes.length;
    return this;
  }

  number(field: number, value: number): this {
    return this.raw(varint(field * 8)).raw(varint(value));
  }

  float(field: number, value: number): this {
    const bytes = new DataView(new ArrayBuffer(4));
    bytes.setFloat32(0, value, true);
    return this.raw(varint(field * 8 + 5)).raw(new Uint8Array(bytes.buffer));
  }

  bytes(field: number, bytes: Uint8Array): this {
    return this.raw(varint(field * 8 + 2))
      .raw(varint(bytes.length))
      .raw(bytes);
  }

  text(field: number, text: string): this {
    return this.bytes(field, encoder.encode(text));
  }

  message(field: number, message: Message): this {
    this.raw(varint(field * 8 + 2)).raw(varint(message.size));
    this.parts.push(...message.parts);
    this.size += message.size;
    return this;
  }

  finish(): Uint8Array {
    const joined = new Uint8Array(this.size);
    let at = 0;
    for (const part of this.parts) {
      joined.set(part, at);
      at += part.length;
    }
    return joined;
  }
}

// Negative numbers take ten bytes, in two's complement.
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = BigInt.asUintN(64, BigInt(value)); ; rest >>= 7n) {
    const low = Number(rest & 127n);
    if (rest < 128n) {
      return Uint8Array.of(...bytes, low);
    }
    bytes.push(low | 128);
  }
}
