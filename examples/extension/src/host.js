// Where the model is: the offscreen document in Chromium, the background page in Firefox.
import { Captioner, LorapressError } from "./lorapress/dist/index.js";

/** As in common.js; an offscreen document has api.runtime only. @type {typeof chrome} */
const api = globalThis.browser ?? chrome;

const MOST_BYTES = 64 * 2 ** 20;
const DRAWING_SIDE = 768;
const KEPT = 500;
const SIGN_OF_LIFE_MS = 10_000;

/** @type {{ model: string, captioner: Promise<Captioner> } | undefined} */
let loaded;
/** By digest of the picture's bytes. @type {Map<string, string>} */
const captions = new Map();

class Refusal extends Error {}

/** @param {object} state */
const tell = (state) => api.runtime.sendMessage({ to: "all", ...state }).catch(() => {});

/** @param {string} model @returns {Promise<Captioner>} */
function load(model) {
  if (loaded?.model !== model) {
    loaded?.captioner.then(
      (captioner) => captioner.dispose(),
      () => {},
    );
    captions.clear();
    const captioner = Captioner.load(model, {
      device: "wasm",
      onProgress: ({ phase, loadedBytes, totalBytes }) => tell({ phase, loadedBytes, totalBytes }),
    });
    const ready = captioner.then(async (one) => {
      await one.ready;
      return one;
    });
    loaded = { model, captioner: ready };
    ready.catch(() => {
      loaded = undefined; // the next picture tries again
    });
  }
  return loaded.captioner;
}

/** @param {string} address @returns {Promise<Blob>} */
async function fetchPicture(address) {
  let response;
  try {
    response = await fetch(address, {
      credentials: "include",
      signal: AbortSignal.timeout(60_000),
    });
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    throw new Refusal(
      late ? "its server does not answer" : "it cannot be fetched from its address",
    );
  }
  if (!response.ok) {
    throw new Refusal(`its server answers with HTTP status ${response.status}`);
  }
  const type = response.headers.get("content-type") ?? "";
  if (type.startsWith("text/html")) {
    throw new Refusal("its address leads to a page, not to a picture");
  }
  if (Number(response.headers.get("content-length")) > MOST_BYTES) {
    throw new Refusal("it is larger than 64 MB");
  }
  return response.blob();
}

/** Browsers make no bitmaps of SVG files; without a size of its own it gets one. @param {Blob} blob */
async function rasterize(blob) {
  const file = new DOMParser().parseFromString(await blob.text(), "image/svg+xml").documentElement;
  const box = (file.getAttribute("viewBox") ?? "").split(/[\s,]+/).map(Number);
  const side = (/** @type {string} */ name, /** @type {number} */ at) =>
    Number.parseFloat(file.getAttribute(name)?.replace(/.*%$/, "") ?? "") || box[at] || 512;
  const scale = DRAWING_SIDE / Math.max(side("width", 2), side("height", 3));
  const width = Math.ceil(side("width", 2) * scale);
  const height = Math.ceil(side("height", 3) * scale);
  file.setAttribute(
    "viewBox",
    file.getAttribute("viewBox") ?? `0 0 ${side("width", 2)} ${side("height", 3)}`,
  );
  file.setAttribute("width", `${width}`);
  file.setAttribute("height", `${height}`);
  const text = new XMLSerializer().serializeToString(file);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  try {
    await image.decode();
  } catch {
    throw new Refusal("this SVG file is broken");
  }
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0);
  return canvas;
}

/** @param {Blob} blob */
async function isSvg(blob) {
  const start = await blob.slice(0, 1000).text();
  return (
    blob.type.startsWith("image/svg") ||
    /^\s*(<\?xml[^>]*>\s*)?(<!--[\s\S]*?-->\s*|<!DOCTYPE[^>]*>\s*)*<svg\b/i.test(start)
  );
}

/** @param {Blob} blob */
async function digestOf(blob) {
  const digest = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
  return String(new Uint8Array(digest));
}

/**
 * @param {{ picture: string, model: string }} asked picture: an address, of the web or data:
 * @returns {Promise<import("./types").Description>} fatal: no other picture would fare better
 */
export async function describe({ picture, model }) {
  // An event handler at work is no sign of life to a browser that ends idle backgrounds.
  const alive = setInterval(() => tell({ phase: "working" }), SIGN_OF_LIFE_MS);
  let captioner;
  try {
    const loading = load(model);
    const blob = await fetchPicture(picture);
    const digest = await digestOf(blob);
    let text = captions.get(digest);
    if (text === undefined) {
      const source = (await isSvg(blob)) ? await rasterize(blob) : blob;
      captioner = await loading;
      ({ text } = await captioner.caption(source));
      captions.set(digest, text);
      const [oldest] = captions.keys();
      if (captions.size > KEPT && oldest !== undefined) {
        captions.delete(oldest);
      }
    }
    return { text };
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    if (error instanceof Refusal) {
      return { why: message };
    }
    if (captioner === undefined) {
      return { why: `the model cannot be loaded: ${message}`, fatal: true };
    }
    const unreadable = error instanceof LorapressError && error.code === "invalid_file";
    return { why: unreadable ? "this browser cannot decode it" : message };
  } finally {
    clearInterval(alive);
  }
}

/** To the clipboard, from a document that is not in front. @param {string} text */
export async function copy(text) {
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return (
    copied ||
    navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    )
  );
}

/** @param {{ type: string, [more: string]: any }} message */
export function answer(message) {
  return message.type === "copy" ? copy(message.text) : describe(/** @type {any} */ (message));
}

api.runtime.onMessage.addListener((message, _sender, respond) => {
  if (message.to !== "host") {
    return false;
  }
  answer(message).then(respond);
  return true;
});
