/**
 * Runs in the page, alone: a note in its corner, over what the page's styles do. Reads itself out and goes away.
 * @param {string} title @param {string} text
 */
export function showNote(title, text) {
  const id = "alt-text-note";
  let host = document.getElementById(id);
  if (host?.shadowRoot == null) {
    host = document.createElement("div");
    host.id = id;
    host.style.cssText =
      "all: initial; position: fixed; inset: 16px 16px auto auto; z-index: 2147483647";
    const box = document.createElement("div");
    box.setAttribute("role", "status");
    box.style.cssText =
      "color-scheme: light dark; box-sizing: border-box; width: min(360px, calc(100vw - 32px)); padding: 12px 14px;" +
      "font: 15px/1.45 system-ui, sans-serif; color: light-dark(#1b1d22, #eceef2); border-radius: 12px;" +
      "background: light-dark(#fff, #1c1f25); border: 1px solid light-dark(#dedad0, #343842);" +
      "box-shadow: 0 8px 28px rgb(0 0 0 / 25%); display: grid; grid-template-columns: 1fr auto; gap: 2px 8px";
    const head = document.createElement("strong");
    head.style.cssText = "color: light-dark(#8a3b12, #f0a36f)";
    const close = document.createElement("button");
    close.style.cssText =
      "all: unset; cursor: pointer; width: 24px; height: 24px; text-align: center";
    close.textContent = "\u00d7";
    close.setAttribute("aria-label", "Close");
    close.addEventListener("focus", () => {
      close.style.outline = "2px solid";
    });
    close.addEventListener("blur", () => {
      close.style.outline = "";
    });
    close.addEventListener("click", () => host?.remove());
    const words = document.createElement("span");
    words.style.cssText = "grid-column: 1 / -1; overflow-wrap: anywhere";
    box.append(head, close, words);
    host.attachShadow({ mode: "open" }).append(box);
    document.documentElement.append(host);
  }
  const box = host.shadowRoot?.firstElementChild;
  // Screen readers tell of what changes in a region that they know.
  setTimeout(() => {
    const [head, , words] = box?.children ?? [];
    head?.replaceChildren(title);
    words?.replaceChildren(text);
  }, 50);
  clearTimeout(globalThis.altTextTimer);
  globalThis.altTextTimer = setTimeout(() => host.remove(), 15_000);
}
