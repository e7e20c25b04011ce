// safetensors files of float32: 8 bytes of header length, a JSON header, the bytes of all tensors.

import { readFileSync, writeFileSync } from 'node:fs';

/** @typedef {{shape: number[], data: Float32Array}} Float32Tensor */

/** @param {string} path @returns {Record<string, Float32Tensor>} */
export function readSafetensors(path) {
  const bytes = readFileSync(path);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, start).toString('utf8'));
  delete header.__metadata__;
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [begin, end] }] of Object.entries(header)) {
    if (dtype !== 'F32') {
      throw new Error(`${path}: ${name} is ${dtype}, expected F32`);
    }
    const copy = new Uint8Array(bytes.subarray(start + begin, start + end)); // aligned for a view
    tensors[name] = { shape, data: new Float32Array(copy.buffer) };
  }
  return tensors;
}

/** @param {string} path @param {Record<string, Float32Tensor>} tensors */
export function writeSafetensors(path, tensors) {
  const header = {};
  let end = 0;
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype: 'F32', shape, data_offsets: [end, (end += data.byteLength)] };
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const blobs = Object.values(tensors).map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  writeFileSync(path, Buffer.concat([length, text, ...blobs]));
}
