// The menu on pictures, the panel's button, and the way to the model: a service worker in Chromium, which can neither
// start workers nor stay, a background page in Firefox.
import { api, ask, describe, inFrame, picturesOf } from "./common.js";
import { showNote } from "./note.js";

const MENU = "describe";

/** @type {Promise<unknown> | undefined} */
let opening;

/** The document with the model is there. */
async function openHost() {
  if (api.offscreen === undefined) {
    return;
  }
  if (!(await api.offscreen.hasDocument())) {
    opening ??= api.offscreen
      .createDocument({
        url: "offscreen.html",
        reasons: ["WORKERS", "CLIPBOARD"],
        justification: "Runs the model in a worker and copies its captions.",
      })
      .finally(() => {
        opening = undefined;
      });
    await opening;
  }
}

// Chromium's service worker has no document, and no import().
const ownHost = typeof document === "undefined" ? undefined : import("./host.js");

/** @param {object} message @returns {Promise<any>} */
async function host(message) {
  if (ownHost !== undefined) {
    return (await ownHost).answer({ type: "describe", ...message });
  }
  await openHost();
  return ask({ to: "host", type: "describe", ...message });
}

/** A note on the page; where pages take none, on the button. @param {number} tabId @param {string[]} lines */
async function tellUser(tabId, ...lines) {
  const [title = "", text = "", mark = ""] = lines;
  try {
    await api.scripting.executeScript({ target: { tabId }, func: showNote, args: [title, text] });
  } catch {
    await api.action.setBadgeText({ tabId, text: mark });
    await api.action.setTitle({ tabId, title: `${title}: ${text}` });
  }
}

/**
 * The menu was used on a picture.
 * @param {{ srcUrl?: string, frameId?: number }} info @param {{ id?: number } | undefined} tab
 */
async function onClicked({ srcUrl = "", frameId = 0 }, tab) {
  const tabId = tab?.id ?? -1;
  await tellUser(tabId, "Alt text", "Describing the picture\u2026", "\u2026");
  let picture = { id: "", frameId, address: srcUrl, inPage: srcUrl.startsWith("blob:") };
  try {
    const all = await picturesOf(tabId);
    const id = await inFrame(tabId, frameId, "find", srcUrl);
    picture = all.find((one) => one.id === id && one.frameId === frameId) ?? picture;
  } catch {
    // A page that takes no scripts; the address may do.
  }
  const { text, why } = await describe(tabId, /** @type {any} */ (picture), host);
  if (text === undefined) {
    await tellUser(tabId, "No alt text", `${why ?? "unknown"}`, "!");
    return;
  }
  const copied = await host({ type: "copy", text });
  await tellUser(tabId, copied ? "Alt text, copied" : "Alt text", text, "\u2713");
}

// Tests have no menu to click on.
Object.assign(globalThis, { onClicked });

api.runtime.onInstalled.addListener(() => {
  api.contextMenus.create({ id: MENU, title: "Describe this picture", contexts: ["image"] });
});
api.contextMenus.onClicked.addListener((info, tab) => void onClicked(info, tab));

api.runtime.onMessage.addListener((message, _sender, respond) => {
  if (message.to !== "background") {
    return false;
  }
  openHost().then(
    () => respond(true),
    (error) => respond(String(error)),
  );
  return true;
});

if (api.sidePanel !== undefined) {
  void api.sidePanel.setPanelBehavior({ openPanelOnActionClick: true });
} else {
  api.action.onClicked.addListener(() => void api.sidebarAction.toggle());
}
