// Pillow's two-pass resampling (its Resample.c, 8 bits per channel), as src/runtime/image/image_resize.cc:
// coefficients in double, rounded to 22 fractional bits; sums in int32; each pass clipped to 8 bits.
// A model must see the picture that it saw in training, and a canvas resizes differently.
import { fail } from "../errors.js";
import type { Preprocessing, Resample } from "../loading/manifest.js";

/** Rows from the top; 3 channels (RGB) or 4 (RGBA, of which the alpha is dropped and not blended). */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

export const MAX_IMAGE_PIXELS = 200_000_000;

const PRECISION_BITS = 22;
const HALF: number = 1 << (PRECISION_BITS - 1);
const MAX_WEIGHTS = 2 ** 27; // as in the program, which keeps each weight three times

interface Filter {
  readonly support: number;
  readonly weight: (distance: number) => number;
}

const FILTERS: Readonly<Record<Resample, Filter>> = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weight: bicubic },
  lanczos: { support: 3, weight: lanczos },
};

function lanczos(x: number): number {
  return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

function bicubic(distance: number): number {
  const a = -0.5;
  const x = Math.abs(distance);
  if (x < 1) {
    return ((a + 2) * x - (a + 3)) * x * x + 1;
  }
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** Which inputs make up each output along one axis: `count` weights from `first` on, `taps` apart. */
interface Axis {
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Int32Array;
  readonly taps: number;
}

function planAxis(inSize: number, outSize: number, filter: Filter): Axis {
  const scale = inSize / outSize;
  const filterScale = Math.max(scale, 1);
  const support = filter.support * filterScale;
  const taps = Math.ceil(support) * 2 + 1;
  if (taps * 3 * outSize > MAX_WEIGHTS) {
    fail(
      "unsupported",
      `an image cannot be resized from ${inSize} to ${outSize} pixels along one side`,
    );
  }
  const first = new Int32Array(outSize);
  const count = new Int32Array(outSize);
  const weights = new Int32Array(taps * outSize);
  const raw = new Float64Array(taps);
  for (let out = 0; out < outSize; ++out) {
    const center = (out + 0.5) * scale;
    const begin = Math.max(Math.floor(center - support + 0.5), 0);
    const end = Math.min(Math.floor(center + support + 0.5), inSize);
    let sum = 0;
    for (let tap = 0; tap < end - begin; ++tap) {
      const weight = filter.weight((tap + begin - center + 0.5) * (1 / filterScale));
      raw[tap] = weight;
      sum += weight;
    }
    for (let tap = 0; tap < end - begin; ++tap) {
      const weight = sum === 0 ? (raw[tap] as number) : (raw[tap] as number) / sum;
      weights[out * taps + tap] = Math.trunc(
        weight * (1 << PRECISION_BITS) + (weight < 0 ? -0.5 : 0.5),
      );
    }
    first[out] = begin;
    count[out] = end - begin;
  }
  return { first, count, weights, taps };
}

// `data` is RGB, `width` pixels a row. Uint8ClampedArray clips what is stored.
function resampleColumns(image: Pixels, width: number, filter: Filter): Pixels {
  const axis = planAxis(image.width, width, filter);
  const { first, count, weights, taps } = axis;
  const source = image.data;
  const out = new Uint8ClampedArray(width * image.height * 3);
  let target = 0;
  for (let y = 0; y < image.height; ++y) {
    const row = y * image.width * 3;
    for (let x = 0; x < width; ++x) {
      let [r, g, b] = [HALF, HALF, HALF];
      let at = row + (first[x] as number) * 3;
      const end = x * taps + (count[x] as number);
      for (let tap = x * taps; tap < end; ++tap, at += 3) {
        const weight = weights[tap] as number;
        r += (source[at] as number) * weight;
        g += (source[at + 1] as number) * weight;
        b += (source[at + 2] as number) * weight;
      }
      out[target] = r >> PRECISION_BITS;
      out[target + 1] = g >> PRECISION_BITS;
      out[target + 2] = b >> PRECISION_BITS;
      target += 3;
    }
  }
  return { width, height: image.height, data: out };
}

function resampleRows(image: Pixels, height: number, filter: Filter): Pixels {
  const axis = planAxis(image.height, height, filter);
  const { first, count, weights, taps } = axis;
  const source = image.data;
  const size = image.width * 3;
  const out = new Uint8ClampedArray(size * height);
  const sums = new Int32Array(size);
  for (let y = 0; y < height; ++y) {
    sums.fill(HALF);
    for (let tap = 0; tap < (count[y] as number); ++tap) {
      const weight = weights[y * taps + tap] as number;
      const row = ((first[y] as number) + tap) * size;
      for (let x = 0; x < size; ++x) {
        sums[x] = (sums[x] as number) + (source[row + x] as number) * weight;
      }
    }
    for (let x = 0; x < size; ++x) {
      out[y * size + x] = (sums[x] as number) >> PRECISION_BITS;
    }
  }
  return { width: image.width, height, data: out };
}

function withoutAlpha(image: Pixels): Pixels {
  const pixels = image.width * image.height;
  if (image.data.length === pixels * 3) {
    return image;
  }
  const rgb = new Uint8Array(pixels * 3);
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    rgb[to] = image.data[from] as number;
    rgb[to + 1] = image.data[from + 1] as number;
    rgb[to + 2] = image.data[from + 2] as number;
  }
  return { width: image.width, height: image.height, data: rgb };
}

export function requireSize(width: number, height: number): void {
  const sound = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  if (!sound || width * height > MAX_IMAGE_PIXELS) {
    fail(
      "invalid_argument",
      `an image of ${width} x ${height} pixels, expected 1 to ${MAX_IMAGE_PIXELS}`,
    );
  }
}

/** Throws invalid_argument unless the numbers fit each other. */
export function requirePixels(image: Pixels): void {
  const { width, height, data } = image;
  requireSize(width, height);
  const isBytes = data instanceof Uint8Array || data instanceof Uint8ClampedArray;
  const pixels = width * height;
  if (!isBytes || (data.length !== pixels * 3 && data.length !== pixels * 4)) {
    fail(
      "invalid_argument",
      `${data?.length} bytes of an image of ${width} x ${height} pixels, expected RGB or RGBA in a Uint8Array`,
    );
  }
}

/** RGB as Pillow's Image.resize: the filter widens when it shrinks, both passes round to 8 bits. */
export function resize(image: Pixels, width: number, height: number, resample: Resample): Pixels {
  requirePixels(image);
  const filter = FILTERS[resample];
  const rgb = withoutAlpha(image);
  if (width === rgb.width) {
    return height === rgb.height ? rgb : resampleRows(rgb, height, filter);
  }
  if (height === rgb.height) {
    return resampleColumns(rgb, width, filter);
  }
  // Each pass rounds and clips, so their order shows. Pillow 13 takes the rows first when the height
  // shrinks by more than twice what the width does.
  const lostRows = rgb.height - height;
  return lostRows > 0 && lostRows > (rgb.width - width) * 2
    ? resampleColumns(resampleRows(rgb, height, filter), width, filter)
    : resampleRows(resampleColumns(rgb, width, filter), height, filter);
}

/** Planes of RGB, as transformers' image processors: float32(value * rescale), - mean, / std. */
export function normalise(image: Pixels, settings: Preprocessing): Float32Array<ArrayBuffer> {
  const pixels = image.width * image.height;
  const out = new Float32Array(pixels * 3);
  for (let channel = 0; channel < 3; ++channel) {
    const mean = Math.fround(settings.imageMean[channel] as number);
    const std = Math.fround(settings.imageStd[channel] as number);
    const table = Float32Array.from({ length: 256 }, (_, value) =>
      Math.fround(Math.fround(Math.fround(value * settings.rescaleFactor) - mean) / std),
    );
    for (let pixel = 0; pixel < pixels; ++pixel) {
      out[channel * pixels + pixel] = table[image.data[pixel * 3 + channel] as number] as number;
    }
  }
  return out;
}

const MAX_SIDE = 2 ** 24; // of a resized image, as in the program

/** Width and height to resize to: transformers' get_resize_output_image_size. */
export function resizedSize(
  width: number,
  height: number,
  settings: Preprocessing,
): readonly [number, number] {
  const { shortestEdge } = settings;
  if (shortestEdge === 0) {
    return [settings.width, settings.height];
  }
  const longer = Math.trunc((shortestEdge * Math.max(width, height)) / Math.min(width, height));
  if (longer > MAX_SIDE) {
    fail(
      "unsupported",
      `an image of ${width} x ${height} pixels would become ${longer} long, expected at most ${MAX_SIDE}`,
    );
  }
  return width <= height ? [shortestEdge, longer] : [longer, shortestEdge];
}

/** The middle of an RGB image; of an odd rest, the larger part is cut off on the right and below. */
export function centerCrop(image: Pixels, width: number, height: number): Pixels {
  if (width === image.width && height === image.height) {
    return image;
  }
  const left = Math.floor((image.width - width) / 2);
  const top = Math.floor((image.height - height) / 2);
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; ++y) {
    const from = ((top + y) * image.width + left) * 3;
    data.set(image.data.subarray(from, from + width * 3), y * width * 3);
  }
  return { width, height, data };
}

/** The vision tower's input. */
export function preprocess(image: Pixels, settings: Preprocessing): Float32Array<ArrayBuffer> {
  requirePixels(image);
  const [width, height] = resizedSize(image.width, image.height, settings);
  const resized = resize(image, width, height, settings.resample);
  return normalise(centerCrop(resized, settings.width, settings.height), settings);
}
