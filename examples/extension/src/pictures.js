// Runs in every frame of a page: finds its pictures and, for those that only the page can read, their pixels.
// Its value is the list of pictures. `globalThis.altText` stays in the extension's world, which the page does not see.
(() => {
  /** At least so many pixels on its longer and on its shorter side; less is a bullet, a line or a counter. */
  const LEAST = { longer: 32, shorter: 16 };
  const MOST_SIDE = 2048;
  const WAITING = ["data-src", "data-lazy-src", "data-original"]; // of scripts that load pictures late

  /**
   * @typedef {{ element: Element, address: string, kind: Kind }} Known
   * @typedef {"picture" | "background" | "canvas" | "drawing" | "poster"} Kind
   */

  /** @type {Map<string, Known>} */
  const known = new Map();
  /** @type {WeakMap<Element, number>} */
  const numbers = globalThis.altText?.numbers ?? new WeakMap();
  let last = globalThis.altText?.last() ?? 0;

  /** @param {string | null} address */
  function absolute(address) {
    try {
      return address ? new URL(address, document.baseURI).href : "";
    } catch {
      return "";
    }
  }

  /** @param {HTMLImageElement} image */
  function addressOfImage(image) {
    const shown = image.currentSrc || image.src;
    const later = WAITING.map((name) => image.getAttribute(name)).find(Boolean) ?? "";
    const placeholder = shown === "" || (shown.startsWith("data:") && later !== "");
    return placeholder ? absolute(later) : shown;
  }

  /** What a screen reader says; null where nothing was written. @param {Element} element */
  function altOf(element) {
    const written = element.getAttribute("aria-label") ?? element.getAttribute("alt");
    const title =
      element instanceof SVGElement ? element.querySelector("title")?.textContent : null;
    return written ?? title ?? null;
  }

  /** @param {Element} element @param {string} [address] */
  function sizeOf(element, address) {
    const shown =
      element instanceof HTMLImageElement && (address ?? element.currentSrc) === element.currentSrc;
    if (shown && element.naturalWidth > 0) {
      return { width: element.naturalWidth, height: element.naturalHeight };
    }
    if (element instanceof HTMLCanvasElement) {
      return { width: element.width, height: element.height };
    }
    const { width, height } = element.getBoundingClientRect();
    return { width: Math.round(width), height: Math.round(height) };
  }

  /**
   * Elements of the document and of its open shadow trees.
   * @param {Document | ShadowRoot} root @returns {Generator<Element, void>}
   */
  function* elements(root) {
    for (const element of root.querySelectorAll("*")) {
      yield element;
      if (element.shadowRoot) {
        yield* elements(element.shadowRoot);
      }
    }
  }

  /** @param {Element} element @returns {string[]} */
  function backgroundsOf(element) {
    return [null, "::before", "::after"].flatMap((part) => {
      const image = getComputedStyle(element, part).backgroundImage;
      return [...image.matchAll(/url\("((?:[^"\\]|\\.)*)"\)/g)].map(([, address = ""]) =>
        absolute(address.replace(/\\(.)/g, "$1")),
      );
    });
  }

  /** @param {Element} element @returns {{ kind: Kind, address: string }[]} */
  function picturesOf(element) {
    if (element instanceof HTMLImageElement) {
      return [{ kind: "picture", address: addressOfImage(element) }];
    }
    if (element instanceof HTMLInputElement) {
      return element.type === "image" ? [{ kind: "picture", address: element.src }] : [];
    }
    if (element instanceof HTMLObjectElement || element instanceof HTMLEmbedElement) {
      const address = absolute(element.getAttribute("data") ?? element.getAttribute("src"));
      return element.type.startsWith("image/") ? [{ kind: "picture", address }] : [];
    }
    if (element instanceof HTMLVideoElement) {
      return element.poster === "" ? [] : [{ kind: "poster", address: element.poster }];
    }
    if (element instanceof HTMLCanvasElement) {
      return [{ kind: "canvas", address: "" }];
    }
    if (element instanceof SVGSVGElement) {
      return element.ownerSVGElement === null ? [{ kind: "drawing", address: "" }] : [];
    }
    return [];
  }

  /** @param {Known} found @param {number} at */
  function entry({ element, address, kind }, at) {
    const number = numbers.get(element) ?? ++last;
    numbers.set(element, number);
    const id = `${number}.${at}`;
    known.set(id, { element, address, kind });
    const { width, height } = sizeOf(element, kind === "picture" ? address : undefined);
    const sized = width > 0 && height > 0;
    const small = Math.max(width, height) < LEAST.longer || Math.min(width, height) < LEAST.shorter;
    const nowhere = address === "" && kind === "picture";
    const tiny = sized && small ? `too small to describe: ${width} \u00d7 ${height} pixels` : "";
    const fault = nowhere ? "the page gives this picture no address" : tiny;
    // Nobody else can read what has no address of the web.
    const inPage = kind === "canvas" || kind === "drawing" || address.startsWith("blob:");
    const alt = kind === "background" ? null : altOf(element);
    return { id, kind, address, width, height, alt, fault, inPage };
  }

  function list() {
    known.clear();
    const all = [];
    for (const element of elements(document)) {
      const found = picturesOf(element);
      const behind = backgroundsOf(element).map((address) => ({
        kind: /** @type {Kind} */ ("background"),
        address,
      }));
      const unseen =
        element instanceof SVGSVGElement && element.getBoundingClientRect().width === 0;
      all.push(
        ...(unseen ? [] : [...found, ...behind].map((one, at) => entry({ element, ...one }, at))),
      );
    }
    return all;
  }

  /** @param {Blob} blob @returns {Promise<string>} */
  function dataOf(blob) {
    return new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(String(reader.result));
      reader.onerror = () => reject(reader.error);
      reader.readAsDataURL(blob);
    });
  }

  /** @param {Element} element */
  function drawn(element) {
    const { width, height } = sizeOf(element);
    const scale = Math.min(1, MOST_SIDE / Math.max(width, height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    const context = canvas.getContext("2d");
    context?.drawImage(
      /** @type {CanvasImageSource} */ (element),
      0,
      0,
      canvas.width,
      canvas.height,
    );
    const pixels = context?.getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels?.some((value) => value !== 0) ? canvas.toDataURL() : "";
  }

  /** @param {Element} element */
  function drawingOf(element) {
    const copy = /** @type {SVGSVGElement} */ (element.cloneNode(true));
    const { width, height } = sizeOf(element);
    copy.setAttribute("width", String(width));
    copy.setAttribute("height", String(height));
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.style.color = getComputedStyle(element).color;
    return dataOf(
      new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }),
    );
  }

  /** The picture as a data: address, as the page itself can read it. @param {string} id */
  async function read(id) {
    const { element, address, kind } = known.get(id) ?? {};
    if (!element?.isConnected) {
      return { why: "the picture is no longer on the page" };
    }
    if (kind === "drawing") {
      return { data: await drawingOf(element) };
    }
    if (address?.startsWith("blob:")) {
      const blob = await fetch(address).then(
        (response) => response.blob(),
        () => null,
      );
      if (blob !== null) {
        return { data: await dataOf(blob) };
      }
    }
    if (kind !== "canvas" && !(element instanceof HTMLImageElement && element.naturalWidth > 0)) {
      return { why: "the page cannot read it" };
    }
    try {
      const data = drawn(element);
      return data === "" ? { why: "nothing is drawn on it, or the page cannot read it" } : { data };
    } catch {
      const from =
        kind === "canvas" ? "pictures of another site are drawn on it" : "it is from another site";
      return { why: `${from}, which the browser lets no script read` };
    }
  }

  /** The picture that was clicked. @param {string} address */
  function find(address) {
    list();
    return [...known].find(([, { address: one }]) => one === address)?.[0] ?? null;
  }

  /** @param {string} id */
  function show(id) {
    const element = /** @type {HTMLElement | undefined} */ (known.get(id)?.element);
    element?.scrollIntoView({ block: "center", behavior: "smooth" });
    const frames = [{ outline: "4px solid #c2410c" }, { outline: "4px solid transparent" }];
    element?.animate(frames, { duration: 1500 });
    return element !== undefined;
  }

  globalThis.altText = { numbers, last: () => last, read, find, show };
  return list();
})();
