// SHA-256 of chunks. Pages that are not served securely (http:// on a local network) and Node 18 have
// no crypto.subtle; for these the hash is computed here.
import { fail } from "../errors.js";

export async function sha256(bytes: Uint8Array): Promise<string> {
  const subtle = globalThis.crypto?.subtle;
  const digest =
    subtle === undefined
      ? sha256Plain(bytes)
      : new Uint8Array(await subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Throws invalid_file when the digest differs. */
export async function requireDigest(
  bytes: Uint8Array,
  digest: string,
  where: string,
): Promise<void> {
  const found = await sha256(bytes);
  if (found !== digest) {
    fail("invalid_file", `${where}: SHA-256 is ${found}, lorapress.json says ${digest}`);
  }
}

// FIPS 180-4, 4.2.2 and 5.3.3: fractional parts of the cube and square roots of primes.
const PRIMES = firstPrimes(64);
const ROUND = Uint32Array.from(PRIMES, (prime) => fraction(Math.cbrt(prime)));
const START = Uint32Array.from(PRIMES.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));

function fraction(value: number): number {
  return Math.floor((value - Math.floor(value)) * 2 ** 32);
}

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; ++n) {
    if (primes.every((prime) => n % prime !== 0)) {
      primes.push(n);
    }
  }
  return primes;
}

const rotate = (x: number, by: number): number => (x >>> by) | (x << (32 - by));

/** FIPS 180-4 in plain integers. */
export function sha256Plain(bytes: Uint8Array): Uint8Array {
  const state = Uint32Array.from(START);
  const whole = bytes.length - (bytes.length % 64);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const words = new Uint32Array(64);
  for (let at = 0; at < whole; at += 64) {
    addBlock(state, view, at, words);
  }
  const rest = new Uint8Array(bytes.length - whole < 56 ? 64 : 128);
  rest.set(bytes.subarray(whole));
  rest[bytes.length - whole] = 0x80;
  const tail = new DataView(rest.buffer);
  tail.setBigUint64(rest.length - 8, BigInt(bytes.length) * 8n);
  for (let at = 0; at < rest.length; at += 64) {
    addBlock(state, tail, at, words);
  }
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((word, i) => {
    digest.setUint32(i * 4, word);
  });
  return new Uint8Array(digest.buffer);
}

function addBlock(state: Uint32Array, view: DataView, at: number, words: Uint32Array): void {
  const w = words as unknown as { [index: number]: number };
  for (let i = 0; i < 16; ++i) {
    w[i] = view.getUint32(at + i * 4);
  }
  for (let i = 16; i < 64; ++i) {
    const [x, y] = [w[i - 15] as number, w[i - 2] as number];
    const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
    const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
    w[i] = ((w[i - 16] as number) + s0 + (w[i - 7] as number) + s1) | 0;
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
  for (let i = 0; i < 64; ++i) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + (ROUND[i] as number) + (w[i] as number)) | 0;
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => {
    state[i] = (state[i] as number) + word;
  });
}
