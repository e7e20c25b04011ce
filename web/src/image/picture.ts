// From any image source to its pixels, upright and in RGB, as a decoder of files gives them:
// no colour management, no blending with alpha.
import { fail, messageOf } from "../errors.js";
import { type Pixels, requirePixels, requireSize } from "./image.js";
import { isTiff, isWebp, upright, webpOrientation } from "./orientation.js";

/** Sources that can be captioned. A string is the address of an image. In Node: Pixels only. */
export type ImageSource =
  | string
  | URL
  | Blob
  | Pixels
  | ImageData
  | ImageBitmap
  | HTMLImageElement
  | HTMLCanvasElement
  | OffscreenCanvas
  | HTMLVideoElement
  | VideoFrame;

/** The form that is sent to the worker. */
export type Picture =
  | { readonly kind: "blob"; readonly blob: Blob }
  | { readonly kind: "bitmap"; readonly bitmap: ImageBitmap }
  | { readonly kind: "pixels"; readonly pixels: Pixels };

const MAX_IMAGE_BYTES: number = 512 * 2 ** 20;

const AS_STORED: ImageBitmapOptions = {
  imageOrientation: "from-image",
  premultiplyAlpha: "none",
  colorSpaceConversion: "none",
};

async function fetchImage(address: string | URL, signal: AbortSignal): Promise<Blob> {
  let response: Response;
  try {
    response = await fetch(address, { signal });
  } catch (error) {
    signal.throwIfAborted();
    fail("io", `${String(address).slice(0, 200)}: ${messageOf(error)}`, error);
  }
  if (!response.ok) {
    fail("not_found", `${String(address).slice(0, 200)}: HTTP status ${response.status}`);
  }
  return response.blob();
}

export async function toPicture(source: ImageSource, signal: AbortSignal): Promise<Picture> {
  if (typeof source === "string" || source instanceof URL) {
    return { kind: "blob", blob: await fetchImage(source, signal) };
  }
  if (source instanceof Blob) {
    return { kind: "blob", blob: source };
  }
  if (typeof source === "object" && source !== null && "data" in source) {
    requirePixels(source);
    return { kind: "pixels", pixels: source };
  }
  if (typeof createImageBitmap !== "function") {
    fail("invalid_argument", "here an image is {width, height, data: RGB or RGBA bytes}");
  }
  try {
    // A bitmap of our own: the caller's is not consumed.
    return { kind: "bitmap", bitmap: await createImageBitmap(source, AS_STORED) };
  } catch (error) {
    fail("invalid_argument", `not an image: ${messageOf(error)}`, error);
  }
}

/** A bitmap in `picture` is consumed. */
export async function toPixels(picture: Picture): Promise<Pixels> {
  if (picture.kind === "pixels") {
    return picture.pixels;
  }
  if (picture.kind === "bitmap") {
    return readBitmap(picture.bitmap);
  }
  const { blob } = picture;
  if (blob.size > MAX_IMAGE_BYTES) {
    fail("invalid_file", `an image of ${blob.size} bytes, expected at most ${MAX_IMAGE_BYTES}`);
  }
  if (isWebp(new Uint8Array(await blob.slice(0, 12).arrayBuffer()))) {
    const orientation = webpOrientation(new Uint8Array(await blob.arrayBuffer()));
    const stored = await decode(blob, { ...AS_STORED, imageOrientation: "none" });
    return upright(readBitmap(stored), orientation);
  }
  return readBitmap(await decode(blob, AS_STORED));
}

async function decode(blob: Blob, options: ImageBitmapOptions): Promise<ImageBitmap> {
  if (typeof createImageBitmap !== "function") {
    fail("invalid_argument", "there is no image decoder here; give {width, height, data}");
  }
  try {
    return await createImageBitmap(blob, options);
  } catch (error) {
    if (isTiff(new Uint8Array(await blob.slice(0, 4).arrayBuffer()))) {
      fail("unsupported", "this browser decodes no TIFF images; convert it to PNG or JPEG", error);
    }
    fail("invalid_file", `the browser cannot decode this image: ${messageOf(error)}`, error);
  }
}

function readBitmap(bitmap: ImageBitmap): Pixels {
  try {
    requireSize(bitmap.width, bitmap.height);
    const pixels = readCanvas(bitmap);
    // A canvas multiplies colours by alpha and loses them where alpha is small.
    return isOpaque(pixels) ? pixels : (readTexture(bitmap) ?? pixels);
  } finally {
    bitmap.close();
  }
}

function makeCanvas(width: number, height: number): OffscreenCanvas | HTMLCanvasElement {
  if (typeof OffscreenCanvas === "function") {
    return new OffscreenCanvas(width, height);
  }
  return Object.assign(document.createElement("canvas"), { width, height });
}

function readCanvas(bitmap: ImageBitmap): Pixels {
  const { width, height } = bitmap;
  const canvas = makeCanvas(width, height) as OffscreenCanvas;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) {
    fail("runtime", `no canvas of ${width} x ${height} pixels`);
  }
  context.drawImage(bitmap, 0, 0);
  return { width, height, data: context.getImageData(0, 0, width, height).data };
}

function isOpaque(pixels: Pixels): boolean {
  for (let at = 3; at < pixels.data.length; at += 4) {
    if (pixels.data[at] !== 255) {
      return false;
    }
  }
  return true;
}

// A texture keeps the exact values of the bitmap. Nothing where the browser has no WebGL or the image is larger
// than its textures.
function readTexture(bitmap: ImageBitmap): Pixels | undefined {
  const { width, height } = bitmap;
  const gl = (makeCanvas(1, 1) as OffscreenCanvas).getContext("webgl2");
  if (gl === null || Math.max(width, height) > (gl.getParameter(gl.MAX_TEXTURE_SIZE) as number)) {
    return undefined;
  }
  try {
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
    const { FRAMEBUFFER, COLOR_ATTACHMENT0, TEXTURE_2D } = gl;
    gl.bindFramebuffer(FRAMEBUFFER, gl.createFramebuffer());
    const texture = gl.getParameter(gl.TEXTURE_BINDING_2D) as WebGLTexture;
    gl.framebufferTexture2D(FRAMEBUFFER, COLOR_ATTACHMENT0, TEXTURE_2D, texture, 0);
    const data = new Uint8Array(width * height * 4);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
    return gl.getError() === gl.NO_ERROR ? { width, height, data } : undefined;
  } finally {
    gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}
