// The orientation of a WebP file: browsers rotate JPEG and PNG by their EXIF, but not WebP. Of EXIF, which is a
// TIFF file, only the orientation of the first directory is read; all of it is hostile input.
import type { Pixels } from "./image.js";

const ORIENTATION_TAG = 0x0112;
const SHORT = 3;

const text = (bytes: Uint8Array, at: number, size: number): string =>
  String.fromCharCode(...bytes.subarray(at, at + size));

export function isWebp(bytes: Uint8Array): boolean {
  return text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 4) === "WEBP";
}

/** Whether a file is TIFF, in either byte order, with offsets of 32 or 64 bits. Only Safari decodes TIFF. */
export function isTiff(bytes: Uint8Array): boolean {
  return ["II*\0", "MM\0*", "II+\0", "MM\0+"].includes(text(bytes, 0, 4));
}

/** EXIF's 1 to 8; 1 without a usable value. REQUIRES: isWebp(bytes). */
export function webpOrientation(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 12; at + 8 <= bytes.length; ) {
    const size = view.getUint32(at + 4, true);
    if (text(bytes, at, 4) === "EXIF") {
      return tiffOrientation(bytes.subarray(at + 8, at + 8 + size));
    }
    at += 8 + size + (size % 2); // chunks are padded to even sizes
  }
  return 1;
}

function tiffOrientation(exif: Uint8Array): number {
  const tiff = text(exif, 0, 6) === "Exif\0\0" ? exif.subarray(6) : exif;
  const order = text(tiff, 0, 2);
  if (tiff.length < 8 || (order !== "II" && order !== "MM")) {
    return 1;
  }
  const little = order === "II";
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const directory = view.getUint32(4, little);
  if (directory + 2 > tiff.length) {
    return 1;
  }
  const entries = view.getUint16(directory, little);
  for (let at = directory + 2, left = entries; left > 0 && at + 12 <= tiff.length; at += 12) {
    left -= 1;
    if (
      view.getUint16(at, little) === ORIENTATION_TAG &&
      view.getUint16(at + 2, little) === SHORT
    ) {
      const value = view.getUint16(at + 8, little);
      return value >= 1 && value <= 8 ? value : 1;
    }
  }
  return 1;
}

/** The image upright. */
export function upright(image: Pixels, orientation: number): Pixels {
  if (orientation === 1) {
    return image;
  }
  const { width, height, data } = image;
  const turned = orientation >= 5; // rows become columns
  const flipX = [2, 3, 7, 8].includes(orientation);
  const flipY = [3, 4, 6, 7].includes(orientation);
  const [outWidth, outHeight] = turned ? [height, width] : [width, height];
  const step = data.length / (width * height);
  const out = new Uint8Array(data.length);
  for (let y = 0, to = 0; y < outHeight; ++y) {
    for (let x = 0; x < outWidth; ++x, to += step) {
      const [a, b] = turned ? [y, x] : [x, y];
      const from = ((flipY ? height - 1 - b : b) * width + (flipX ? width - 1 - a : a)) * step;
      for (let channel = 0; channel < step; ++channel) {
        out[to + channel] = data[from + channel] as number;
      }
    }
  }
  return { width: outWidth, height: outHeight, data: out };
}
