// <img-captioner>: suggests the missing alt text of a form's picture. The runtime and the model are fetched when the first
// picture is there. Text of a person is never replaced.
import type { Caption, Captioner } from "./index.js";
import type { LoadProgress } from "./loading/progress.js";

/** What it says, by attribute; other languages set the attributes. */
const WORDS = {
  "suggest-label": "Suggest alt text",
  "loading-label": "Loading the model",
  "working-label": "Describing the picture",
  "done-label": "Alt text suggested. Check it before you save.",
  "kept-label": "There is an alt text already.",
  "no-picture-label": "Choose a picture first.",
  "failed-label": "No suggestion",
} as const;

type Word = keyof typeof WORDS;
type Field = HTMLInputElement | HTMLTextAreaElement;
type Picture = HTMLImageElement | File;

const STYLE = `
:host { display: inline-flex; flex-wrap: wrap; align-items: center; gap: 0.5em; font: inherit }
:host([hidden]) { display: none }
button { font: inherit; min-height: 2.25em; padding: 0.2em 0.8em; cursor: pointer }
button:disabled { cursor: default }
slot { display: contents }
`;

/** Captioners by the model's address, so that all elements of a page share one. */
const captioners = new Map<string, Promise<Captioner>>();

/** Who listens to a loading model. */
const listeners = new Map<string, Set<(progress: LoadProgress) => void>>();

function load(model: string): Promise<Captioner> {
  let found = captioners.get(model);
  if (found === undefined) {
    const onProgress = (progress: LoadProgress): void => {
      for (const listener of listeners.get(model) ?? []) {
        listener(progress);
      }
    };
    found = import("./index.js").then(({ Captioner }) => Captioner.load(model, { onProgress }));
    captioners.set(model, found);
    // The next picture tries again.
    found.then((captioner) => captioner.ready).catch(() => captioners.delete(model));
  }
  return found;
}

// Where there are no elements (a server that renders pages), the module can be imported all the same.
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

/**
 * Attributes: `model`, the address of a folder that `lorapress press` wrote; `for`, the id of an `<input type="file">` or an
 * `<img>` (default: the first of the form that takes files); `field`, the id of the text field that gets the alt text (default:
 * the form's field named `alt`); `manual`, only at the button. Images inside the element that have no `alt` get one.
 *
 * Events, which bubble: `caption-start` ({ picture }), `caption-progress` (LoadProgress), `caption` ({ text, picture, caption };
 * preventDefault() leaves the field as it is), `caption-error` ({ error, picture }).
 */
export class ImgCaptioner extends Base {
  private readonly button: HTMLButtonElement | undefined;
  private readonly status: HTMLElement | undefined;
  private running: AbortController | undefined;
  /** Ends what connectedCallback began. */
  private connection: AbortController | undefined;
  /** What this element wrote last, which it may replace. */
  private suggested = "";

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    // Not a <style>, which strict policies refuse.
    const style = new CSSStyleSheet();
    style.replaceSync(STYLE);
    root.adoptedStyleSheets = [style];
    this.button = document.createElement("button");
    this.button.type = "button";
    this.button.part.add("button");
    this.button.addEventListener("click", () => void this.suggest());
    this.status = document.createElement("span");
    this.status.part.add("status");
    this.status.setAttribute("role", "status");
    root.append(document.createElement("slot"), this.button, this.status);
  }

  connectedCallback(): void {
    this.connection = new AbortController();
    const { signal } = this.connection;
    if (this.button !== undefined) {
      this.button.textContent = this.word("suggest-label");
    }
    // The document's: the form's parts may come later than this element.
    const root = this.getRootNode();
    const onChange = ({ target }: Event): void => {
      if (target === this.source() && !this.hasAttribute("manual")) {
        void this.suggest({ quiet: true });
      }
    };
    root.addEventListener("change", onChange, { signal });
    const look = (): void => void this.fillImages();
    const observer = new MutationObserver(look);
    observer.observe(this, { childList: true, subtree: true, attributeFilter: ["src", "alt"] });
    signal.addEventListener("abort", () => observer.disconnect());
    look();
  }

  disconnectedCallback(): void {
    this.connection?.abort();
    this.running?.abort();
  }

  /** Where the picture comes from. */
  private source(): HTMLInputElement | HTMLImageElement | null {
    const root = this.getRootNode() as Document;
    const id = this.getAttribute("for");
    const found =
      id === null
        ? this.closest("form")?.querySelector('input[type="file"]')
        : root.getElementById(id);
    return found instanceof HTMLInputElement || found instanceof HTMLImageElement ? found : null;
  }

  private field(): Field | null {
    const root = this.getRootNode() as Document;
    const id = this.getAttribute("field");
    const found =
      id === null ? this.closest("form")?.querySelector('[name="alt"]') : root.getElementById(id);
    const isText = found instanceof HTMLInputElement || found instanceof HTMLTextAreaElement;
    return isText ? found : null;
  }

  private picture(): Picture | undefined {
    const source = this.source();
    if (source instanceof HTMLImageElement) {
      return source.getAttribute("src") ? source : undefined;
    }
    const image = this.querySelector("img");
    return source?.files?.[0] ?? image ?? undefined;
  }

  /**
   * Describes the picture and writes its caption where the alt text is missing; returns the caption, undefined where there is none.
   * `quiet`: says nothing of a picture that is not there.
   */
  async suggest({ quiet = false }: { quiet?: boolean } = {}): Promise<string | undefined> {
    const picture = this.picture();
    this.running?.abort();
    if (picture === undefined) {
      this.say(quiet ? "" : this.word("no-picture-label"));
      return undefined;
    }
    const target = this.field();
    if (quiet && target !== null && !this.mayWrite(target)) {
      this.say(this.word("kept-label"));
      return undefined;
    }
    const caption = await this.describe(picture);
    if (caption === undefined) {
      return undefined;
    }
    const kept = target !== null && !this.mayWrite(target);
    if (this.tell("caption", { text: caption.text, picture, caption }) && !kept) {
      this.write(target ?? picture, caption.text);
    }
    this.say(this.word(kept ? "kept-label" : "done-label"));
    return caption.text;
  }

  private mayWrite({ value }: Field): boolean {
    return value.trim() === "" || value === this.suggested;
  }

  private write(target: Field | Picture, text: string): void {
    if (target instanceof File) {
      return;
    }
    if (target instanceof HTMLImageElement) {
      target.alt = text;
      return;
    }
    this.suggested = text;
    target.value = text;
    // As if it were typed: for who counts characters or checks the form.
    for (const type of ["input", "change"]) {
      target.dispatchEvent(new Event(type, { bubbles: true }));
    }
  }

  // Images inside, which are no part of a form. An empty `alt` is one: a decoration.
  private async fillImages(): Promise<void> {
    if (this.hasAttribute("manual") || this.running !== undefined) {
      return;
    }
    for (const image of this.querySelectorAll<HTMLImageElement>("img[src]:not([alt])")) {
      if (this.connection?.signal.aborted !== false || image.hasAttribute("alt")) {
        continue;
      }
      const caption = await this.describe(image);
      if (caption === undefined) {
        return;
      }
      if (this.tell("caption", { text: caption.text, picture: image, caption })) {
        image.alt = caption.text;
      }
      this.say(this.word("done-label"));
    }
  }

  private async describe(picture: Picture): Promise<Caption | undefined> {
    const running = new AbortController();
    this.running = running;
    const { signal } = running;
    const model = new URL(this.getAttribute("model") ?? "model/", document.baseURI).href;
    const onProgress = (progress: LoadProgress): void => {
      this.tell("caption-progress", progress);
      const { phase, loadedBytes, totalBytes } = progress;
      if (phase !== "ready" && totalBytes > 0 && !signal.aborted) {
        const percent = Math.round((100 * loadedBytes) / totalBytes);
        this.say(`${this.word("loading-label")} (${percent} %)`);
      }
    };
    const heard = listeners.get(model) ?? new Set();
    listeners.set(model, heard.add(onProgress));
    this.tell("caption-start", { picture });
    this.setAttribute("aria-busy", "true");
    this.say(this.word("working-label"));
    try {
      const captioner = await load(model);
      await captioner.ready;
      signal.throwIfAborted();
      this.say(this.word("working-label"));
      const image = picture instanceof File ? picture : picture.currentSrc || picture.src;
      return await captioner.caption(image, { signal });
    } catch (error) {
      if (!signal.aborted) {
        const message = error instanceof Error ? error.message : String(error);
        this.say(`${this.word("failed-label")}: ${message}`);
        this.tell("caption-error", { error, picture });
      }
      return undefined;
    } finally {
      heard.delete(onProgress);
      if (this.running === running) {
        this.running = undefined;
        this.removeAttribute("aria-busy");
      }
    }
  }

  private word(name: Word): string {
    return this.getAttribute(name) ?? WORDS[name];
  }

  private say(text: string): void {
    if (this.status !== undefined && this.status.textContent !== text) {
      this.status.textContent = text;
    }
  }

  /** False where a listener forbids what follows. */
  private tell(type: string, detail: unknown): boolean {
    const init = { detail, bubbles: true, composed: true, cancelable: type === "caption" };
    return this.dispatchEvent(new CustomEvent(type, init));
  }
}

globalThis.customElements?.define("img-captioner", ImgCaptioner);

declare global {
  interface HTMLElementTagNameMap {
    "img-captioner": ImgCaptioner;
  }
}
