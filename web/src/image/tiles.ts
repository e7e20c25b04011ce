// Images as tiles, as the image processor of SmolVLM and Idefics3 cuts them (transformers'
// image_processing_pil_idefics3.py and processing_idefics3.py):
//
//   image -> longest edge to longestEdge -> both edges up to multiples of tileSize -> tiles, row by row
//                                                                                 -> all of it in one tile, the last
//
// An image of one tile is not cut. Without splitting it becomes one tile, whatever its proportions.
import type { ImageSplitting, Preprocessing } from "../loading/manifest.js";
import { normalise, type Pixels, resize } from "./image.js";

export interface Tiles {
  readonly tiles: readonly Pixels[];
  /** 0 and 0 where the image is one tile. */
  readonly rows: number;
  readonly columns: number;
}

const MAX_EDGE = 4096; // MAX_IMAGE_SIZE

type Size = readonly [width: number, height: number];

/** get_resize_output_image_size: the shorter edge is made even, then both bounded. */
function longestEdgeSize(width: number, height: number, longest: number): Size {
  const ratio = width / height;
  const even = (size: number): number => Math.max(size + (size % 2), 1);
  const first: Size =
    width >= height
      ? [longest, even(Math.trunc(longest / ratio))]
      : [even(Math.trunc(longest * ratio)), longest];
  return bounded(...first);
}

function bounded(width: number, height: number): Size {
  const ratio = width / height;
  const least = (size: number): number => Math.max(Math.trunc(size), 1);
  if (width >= height && width > MAX_EDGE) {
    return [MAX_EDGE, least(MAX_EDGE / ratio)];
  }
  return height > width && height > MAX_EDGE
    ? [least(MAX_EDGE * ratio), MAX_EDGE]
    : [width, height];
}

/** resize_for_vision_encoder: multiples of the tile's edge. */
function wholeTilesSize(width: number, height: number, tile: number): Size {
  const up = (size: number): number => Math.ceil(size / tile) * tile;
  const ratio = width / height;
  if (width >= height) {
    const wide = up(width);
    return [wide, up(Math.trunc(wide / ratio))];
  }
  const high = up(height);
  return [up(Math.trunc(high * ratio)), high];
}

function crop(image: Pixels, left: number, top: number, size: number): Pixels {
  const data = new Uint8Array(size * size * 3);
  for (let y = 0; y < size; ++y) {
    const from = ((top + y) * image.width + left) * 3;
    data.set(image.data.subarray(from, from + size * 3), y * size * 3);
  }
  return { width: size, height: size, data };
}

export function splitImage(image: Pixels, splitting: ImageSplitting): Tiles {
  const { enabled, longestEdge, tileSize, resample } = splitting;
  const to = (from: Pixels, [width, height]: Size): Pixels => resize(from, width, height, resample);
  const first = to(image, longestEdgeSize(image.width, image.height, longestEdge));
  if (!enabled) {
    return { tiles: [to(first, [tileSize, tileSize])], rows: 0, columns: 0 };
  }
  const whole = to(first, wholeTilesSize(first.width, first.height, tileSize));
  const [rows, columns] = [whole.height / tileSize, whole.width / tileSize];
  if (rows * columns === 1) {
    return { tiles: [whole], rows: 0, columns: 0 };
  }
  const tiles = Array.from({ length: rows * columns }, (_, i) =>
    crop(whole, (i % columns) * tileSize, Math.floor(i / columns) * tileSize, tileSize),
  );
  return { tiles: [...tiles, to(whole, [tileSize, tileSize])], rows, columns };
}

/** All tiles, one after the other, as the vision tower wants them. */
export function normaliseTiles(
  tiles: readonly Pixels[],
  settings: Preprocessing,
): Float32Array<ArrayBuffer> {
  const parts = tiles.map((tile) => normalise(tile, settings));
  const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** What stands in a prompt for an image of so many tiles: replace_image_token of the processor. */
export function tilesPrompt(
  { rows, columns }: Pick<Tiles, "rows" | "columns">,
  imageTokens: number,
  { tokens }: ImageSplitting,
): string {
  const positions = tokens.image.repeat(imageTokens);
  const last = `${tokens.around}${tokens.global}${positions}${tokens.around}`;
  if (rows === 0 && columns === 0) {
    return last;
  }
  const tile = (row: number, column: number): string =>
    tokens.tile.replace("{row}", String(row)).replace("{col}", String(column));
  let text = "";
  for (let row = 1; row <= rows; ++row) {
    for (let column = 1; column <= columns; ++column) {
      text += tokens.around + tile(row, column) + positions;
    }
    text += "\n";
  }
  return `${text}\n${last}`;
}
