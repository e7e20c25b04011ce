// All pictures of the tab beside which the panel stands, or of the one that its address names (panel.html?tab=7).
import { api, ask, describe, inFrame, picturesOf } from "./common.js";

/** @typedef {import("./types").Picture} Picture */

/** @param {string} id @returns {any} */
const element = (id) => document.getElementById(id);

const KINDS = {
  picture: "Picture",
  background: "Background",
  canvas: "Canvas",
  drawing: "Drawing",
  poster: "Poster of a video",
};
const PHASES = { manifest: "Asking for the model", download: "Fetching the model", ready: "" };

const given = Number(new URLSearchParams(location.search).get("tab"));
let running = new AbortController();

async function tabOfPanel() {
  if (given > 0) {
    return given;
  }
  const [tab] = await api.tabs.query({ active: true, currentWindow: true });
  return tab?.id ?? -1;
}

/** One entry for all places of one address. @param {Picture[]} all @returns {[Picture, number][]} */
function grouped(all) {
  const groups = Map.groupBy(all, ({ address, frameId, id }) => address || `${frameId} ${id}`);
  return [...groups.values()].map((places) => {
    const best = places.find(({ fault }) => fault === "") ?? places[0];
    return [/** @type {Picture} */ (best), places.length];
  });
}

/** @param {Picture} picture @param {number} places */
function factsOf({ kind, width, height, alt }, places) {
  const written =
    alt === null ? "no alt text" : alt === "" ? "marked as decoration" : `alt text: ${alt}`;
  const size = width > 0 && height > 0 ? [`${width} \u00d7 ${height}`] : [];
  const times = places > 1 ? [`${places} times`] : [];
  return [KINDS[kind], ...size, ...times, ...(kind === "background" ? [] : [written])].join(
    " \u00b7 ",
  );
}

/**
 * An address of this extension, since isolated pages show no other.
 * @param {number} tabId @param {Picture} picture @returns {Promise<string>}
 */
async function thumbnailOf(tabId, { address, inPage, frameId, id }) {
  const found =
    inPage || address === "" ? undefined : await fetch(address, { credentials: "include" });
  if (found?.ok) {
    return URL.createObjectURL(await found.blob());
  }
  return (await inFrame(tabId, frameId, "read", id)).data ?? "data:,";
}

/** @param {string} template @param {number} tabId @param {Picture} picture @param {string} facts */
function makeItem(template, tabId, picture, facts) {
  const item = element(template).content.firstElementChild.cloneNode(true);
  item.querySelector(".facts").textContent = facts;
  const thumbnail = item.querySelector(".thumbnail");
  thumbnail.setAttribute("aria-label", `Show on the page: ${facts}`);
  thumbnail.title = "Show on the page";
  const image = thumbnail.querySelector("img");
  image.onerror = () => image.remove();
  thumbnailOf(tabId, picture).then(
    (address) => {
      image.src = address;
    },
    () => image.remove(),
  );
  thumbnail.addEventListener(
    "click",
    () => void inFrame(tabId, picture.frameId, "show", picture.id).catch(() => {}),
  );
  return item;
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    await ask({ to: "host", type: "copy", text });
  }
}

/** @param {number} tabId @param {Picture} picture @param {string} facts @param {string} why */
function refuse(tabId, picture, facts, why) {
  const left = element("left");
  left.hidden = false;
  const item = makeItem("refusal", tabId, picture, `${facts}: ${why}`);
  left.querySelector("ul").append(item);
  const count = left.querySelectorAll("li").length;
  left.querySelector("summary").textContent = `${count} without a description`;
}

/** @param {number} tabId @param {[Picture, number]} group @param {number} at */
function addItem(tabId, [picture, places], at) {
  const facts = factsOf(picture, places);
  const item = makeItem("picture", tabId, picture, facts);
  const area = item.querySelector("textarea");
  area.setAttribute("aria-label", `Alt text of picture ${at + 1}`);
  area.placeholder = "Waiting\u2026";
  const button = item.querySelector(".copy");
  button.setAttribute("aria-label", `Copy alt text of picture ${at + 1}`);
  button.addEventListener("click", async () => {
    await copy(area.value);
    item.querySelector(".done").textContent = "Copied";
    setTimeout(() => item.querySelector(".done").replaceChildren(), 2000);
  });
  element("pictures").append(item);
  return { picture, facts, item, area, button };
}

const plural = (/** @type {number} */ count) => `${count} picture${count === 1 ? "" : "s"}`;

/** @param {AbortSignal} signal */
async function look(signal) {
  for (const id of ["pictures", "problem"]) {
    element(id).replaceChildren();
  }
  element("left").hidden = true;
  element("left").querySelector("ul").replaceChildren();
  element("copy-all").disabled = true;
  element("count").textContent = "Looking for pictures";
  const tabId = await tabOfPanel();
  let groups;
  try {
    groups = grouped(await picturesOf(tabId));
  } catch {
    element("count").textContent = "The browser lets no extension look at this page.";
    return;
  }
  if (signal.aborted) {
    return;
  }
  const items = groups.flatMap((group, at) => {
    const [picture, places] = group;
    if (picture.fault === "") {
      return [addItem(tabId, group, at)];
    }
    refuse(tabId, picture, factsOf(picture, places), picture.fault);
    return [];
  });
  element("count").textContent =
    groups.length === 0 ? "No pictures on this page" : plural(groups.length);
  await describeAll(tabId, items, groups.length, signal);
}

/** @param {number} tabId @param {ReturnType<typeof addItem>[]} items @param {number} all @param {AbortSignal} signal */
async function describeAll(tabId, items, all, signal) {
  if (items.length === 0) {
    return;
  }
  element("stop").disabled = false;
  const opened = await ask({ to: "background" });
  if (opened !== true) {
    element("problem").textContent = opened;
    return;
  }
  let described = 0;
  for (const { picture, facts, item, area, button } of items) {
    if (signal.aborted) {
      break;
    }
    area.placeholder = "Describing\u2026";
    const host = (/** @type {object} */ asked) => ask({ to: "host", type: "describe", ...asked });
    const { text, why, fatal } = await describe(tabId, picture, host);
    if (signal.aborted && !item.isConnected) {
      return;
    }
    if (fatal) {
      element("problem").textContent = `No captions: ${why}. The options name the model.`;
      break;
    }
    if (text === undefined) {
      item.remove();
      refuse(tabId, picture, facts, why ?? "");
      continue;
    }
    area.value = text;
    area.readOnly = false; // a person may know better
    button.disabled = false;
    element("copy-all").disabled = false;
    element("count").textContent = `${++described} of ${plural(all)} described`;
  }
  for (const { area } of items.filter(({ area: { value } }) => value === "")) {
    area.placeholder = "Not described";
  }
}

function lookAgain() {
  running.abort();
  const own = new AbortController();
  running = own;
  document.body.dataset.state = "busy";
  void look(own.signal).finally(() => {
    if (running === own) {
      element("stop").disabled = true;
      document.body.dataset.state = "done";
    }
  });
}

element("again").addEventListener("click", lookAgain);
element("stop").addEventListener("click", () => running.abort());
element("options").addEventListener("click", () => void api.runtime.openOptionsPage());
element("copy-all").addEventListener("click", async () => {
  const areas = [...document.querySelectorAll("textarea")].filter(({ value }) => value !== "");
  await copy(areas.map(({ value }) => value).join("\n"));
  element("count").textContent = `${areas.length} alt texts copied`;
});

api.runtime.onMessage.addListener((message) => {
  if (message.to === "all" && message.phase !== "working") {
    const { phase, loadedBytes, totalBytes } = message;
    element("loading").hidden = phase === "ready";
    const share = totalBytes > 0 ? loadedBytes / totalBytes : 0;
    element("progress").value = share;
    const what = PHASES[/** @type {keyof typeof PHASES} */ (phase)] ?? "Loading the model";
    element("phase").textContent = `${what} (${Math.round(share * 100)} %)`;
  }
  return false;
});
if (given === 0) {
  api.tabs.onActivated.addListener(lookAgain);
  api.tabs.onUpdated.addListener((_id, { status }, { active }) => {
    if (status === "complete" && active) {
      lookAgain();
    }
  });
}
lookAgain();
