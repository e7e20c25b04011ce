// IEEE 754 half precision to single, by a table of all 65,536 values that is made when first needed.

let table: Float32Array | undefined;

function value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) {
    return sign * fraction * 2 ** -24;
  }
  if (exponent === 31) {
    return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  }
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

export function halvesToFloats(halves: Uint16Array): Float32Array {
  table ??= Float32Array.from({ length: 65536 }, (_, bits) => value(bits));
  const floats = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; ++i) {
    floats[i] = table[halves[i] as number] as number;
  }
  return floats;
}
