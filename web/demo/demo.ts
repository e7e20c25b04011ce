// The demo page: every image that is dropped, pasted, picked or photographed becomes a card with its
// caption.
import {
  type Caption,
  Captioner,
  type Device,
  type LoadProgress,
  LorapressError,
} from "../src/index.js";
import { offerCamera } from "./camera.js";
import { element } from "./element.js";

const MODEL = "model/";

const page = {
  files: element("files", HTMLInputElement),
  refused: element("refused", HTMLParagraphElement),
  prompt: element("prompt", HTMLInputElement),
  beams: element("beams", HTMLSelectElement),
  dtype: element("dtype", HTMLSelectElement),
  device: element("device", HTMLSelectElement),
  copyAll: element("copy-all", HTMLButtonElement),
  progress: element("progress", HTMLProgressElement),
  state: element("state", HTMLParagraphElement),
  note: element("note", HTMLParagraphElement),
  captions: element("captions", HTMLElement),
  count: element("count", HTMLParagraphElement),
  cards: element("cards", HTMLUListElement),
  spoken: element("spoken", HTMLParagraphElement),
};

/** `?model=` names another folder of this origin. */
function modelUrl(): URL {
  const url = new URL(new URLSearchParams(location.search).get("model") ?? MODEL, location.href);
  if (url.origin !== location.origin) {
    throw new Error("the model must lie where the page lies");
  }
  return url;
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

function describeProgress(progress: LoadProgress): string {
  const { phase, loadedBytes, totalBytes, bytesPerSecond, secondsLeft } = progress;
  if (phase === "encoder" || phase === "decoder") {
    return `Starting the ${phase}`;
  }
  if (phase !== "download") {
    return "Loading the model";
  }
  const speed = bytesPerSecond > 0 ? `, ${megabytes(bytesPerSecond)}/s` : "";
  const left =
    secondsLeft !== undefined && secondsLeft > 1 ? `, ${Math.ceil(secondsLeft)} s left` : "";
  return `${megabytes(loadedBytes)} of ${megabytes(totalBytes)}${speed}${left}`;
}

function reasonOf(error: unknown): string {
  return error instanceof LorapressError ? `${error.message} (${error.code})` : String(error);
}

let current: Promise<Captioner> | undefined;

function show(progress: LoadProgress): void {
  page.progress.value = progress.totalBytes > 0 ? progress.loadedBytes / progress.totalBytes : 0;
  page.state.textContent = describeProgress(progress);
  if (progress.note !== undefined) {
    page.note.textContent = progress.note;
  }
}

/** Loads the model as the choosers say; the one before goes when its captions are done. */
async function load(): Promise<Captioner> {
  const start = performance.now();
  page.progress.hidden = false;
  const captioner = await Captioner.load(modelUrl(), {
    device: page.device.value as Device | "auto",
    dtype: page.dtype.value,
    onProgress: show,
  });
  const { device, engine, dtypes, threads, available, prompt, chat } = captioner.info;
  page.prompt.placeholder = prompt || (chat ? "What to ask" : "What the caption begins with");
  for (const dtype of available) {
    if (![...page.dtype.options].some(({ value }) => value === dtype)) {
      page.dtype.add(new Option(dtype));
    }
  }
  const both =
    dtypes.encoder === dtypes.decoder ? dtypes.encoder : `${dtypes.encoder} + ${dtypes.decoder}`;
  const by = engine === "ort" ? "WebAssembly of ONNX Runtime" : "WebAssembly";
  const where = device === "wasm" ? `${by}, ${threads} thread${threads > 1 ? "s" : ""}` : "WebGPU";
  captioner.ready.then(
    () => {
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      page.progress.hidden = true;
      page.state.textContent = `Ready in ${seconds} s: ${both}, ${where}`;
    },
    (error: unknown) => {
      page.state.textContent = `Not loaded: ${reasonOf(error)}`;
    },
  );
  return captioner;
}

function reload(): void {
  const before = current;
  const next = load();
  current = next;
  next.catch((error: unknown) => {
    page.state.textContent = `Not loaded: ${reasonOf(error)}`;
  });
  before?.then((captioner) => captioner.dispose()).catch(() => {});
}

const escapeAttribute = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
const asAlt = (text: string): string => `alt="${escapeAttribute(text)}"`;

async function copy(button: HTMLButtonElement, text: string): Promise<void> {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "The browser refuses to copy";
  }
  setTimeout(() => {
    button.textContent = label;
  }, 1500);
}

function timingsOf({ timings, ids }: Caption): string {
  const { preprocessMs, encodeMs, prefillMs, decodeMs } = timings;
  const ms = (value: number): string => `${Math.round(value)}\u00a0ms`;
  const steps = Math.max(ids.length - 1, 1);
  return `prepare ${ms(preprocessMs)}, encode ${ms(encodeMs)}, first token ${ms(prefillMs)}, then ${(decodeMs / steps).toFixed(1)}\u00a0ms a token`;
}

interface Card {
  readonly item: HTMLLIElement;
  readonly text: HTMLParagraphElement;
  readonly timings: HTMLParagraphElement;
  readonly image: HTMLImageElement;
  readonly button: HTMLButtonElement;
}

function addCard(file: Blob, name: string): Card {
  const item = document.createElement("li");
  item.className = "card";
  item.setAttribute("aria-busy", "true");
  const image = document.createElement("img");
  image.src = URL.createObjectURL(file);
  image.alt = name;
  const side = document.createElement("div");
  const text = document.createElement("p");
  text.className = "text";
  const timings = document.createElement("p");
  timings.className = "timings";
  timings.textContent = "waiting";
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy as alt text";
  button.disabled = true;
  side.append(text, timings, button);
  item.append(image, side);
  page.cards.prepend(item);
  return { item, text, timings, image, button };
}

/** In the order in which the images came; files of two folders may have the same name. */
const captions: { readonly name: string; text?: string }[] = [];
let failed = 0;

function tellCount(): void {
  const done = captions.filter(({ text }) => text !== undefined).length;
  page.captions.hidden = false;
  page.count.textContent = `${done} of ${captions.length}${failed > 0 ? `, ${failed} failed` : ""}`;
  page.copyAll.disabled = done === 0;
}

async function caption(file: Blob, name: string): Promise<void> {
  const card = addCard(file, name);
  const entry: { name: string; text?: string } = { name };
  captions.push(entry);
  tellCount();
  try {
    const captioner = await (current ?? Promise.reject(new Error("no model")));
    const stream = captioner.stream(file, {
      numBeams: Number(page.beams.value),
      prompt: page.prompt.value,
    });
    for (let step = await stream.next(); ; step = await stream.next()) {
      if (step.done === true) {
        const { text } = step.value;
        card.text.textContent = text.trim();
        card.timings.textContent = timingsOf(step.value);
        finish(card, text.trim());
        entry.text = text.trim();
        return;
      }
      card.timings.textContent = "captioning";
      card.text.append(step.value);
    }
  } catch (error) {
    failed += 1;
    card.timings.textContent = `No caption: ${reasonOf(error)}`;
    page.spoken.textContent = card.timings.textContent;
  } finally {
    card.item.removeAttribute("aria-busy");
    tellCount();
  }
}

function finish(card: Card, text: string): void {
  card.image.alt = text;
  card.button.disabled = false;
  card.button.setAttribute("aria-label", `Copy as alt text: ${text}`);
  card.button.addEventListener("click", () => void copy(card.button, asAlt(text)));
  page.spoken.textContent = text; // once and whole, not piece by piece
}

let pasted = 0;
let photographed = 0;

// Names of files may not tell.
const UNKNOWN: readonly string[] = ["", "application/octet-stream"];

async function isImage(file: File): Promise<boolean> {
  if (!UNKNOWN.includes(file.type)) {
    return file.type.startsWith("image/");
  }
  try {
    (await createImageBitmap(file)).close();
    return true;
  } catch {
    return false; // a folder, too
  }
}

const MOST_NAMES = 3;

function refuse(names: readonly string[]): void {
  const shown = names.slice(0, MOST_NAMES).join(", ");
  const more = names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : "";
  const what = names.length === 1 ? "is no image" : "are no images";
  page.refused.textContent = names.length === 0 ? "" : `Not captioned: ${shown}${more} ${what}.`;
}

async function addFiles(files: Iterable<File>): Promise<void> {
  const refused: string[] = [];
  // All at once: the list is the event's, and empty when that is over.
  for (const file of [...files]) {
    if (await isImage(file)) {
      void caption(file, file.name || `pasted image ${++pasted}`);
    } else {
      refused.push(file.name || "what was pasted");
    }
  }
  refuse(refused);
}

page.files.addEventListener("change", () => {
  void addFiles(page.files.files ?? []);
  page.files.value = "";
});
addEventListener("paste", (event) => {
  const files = event.clipboardData?.files ?? [];
  if (files.length > 0) {
    void addFiles(files); // text is nothing to speak of
  }
});
for (const type of ["dragover", "dragleave", "drop"] as const) {
  addEventListener(type, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dragging", type === "dragover");
    if (type === "drop") {
      const files = event.dataTransfer?.files ?? [];
      void (files.length > 0 ? addFiles(files) : refuse(["what was dropped"]));
    }
  });
}
page.copyAll.addEventListener("click", () => {
  const lines = captions.flatMap(({ name, text }) =>
    text === undefined ? [] : [`${name}: ${asAlt(text)}`],
  );
  void copy(page.copyAll, lines.join("\n"));
});
offerCamera(
  (photo) => void caption(photo, `photo ${++photographed}`),
  (problem) => {
    page.note.textContent = problem;
  },
);
page.dtype.addEventListener("change", reload);
page.device.addEventListener("change", reload);
reload();
