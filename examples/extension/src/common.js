// What the background, the panel and the options share.

/** Firefox has both names, and promises under this one. @type {typeof chrome} */
export const api = globalThis.browser ?? chrome;

/** The pressed folder that the build put into the extension, unless the options name another. */
const INSIDE = "model/";

/** @returns {Promise<string | undefined>} */
async function modelAddress() {
  const { model } = await api.storage.local.get("model");
  const inside = api.runtime.getURL(INSIDE);
  const isInside = () =>
    fetch(`${inside}lorapress.json`).then(
      ({ ok }) => ok,
      () => false,
    );
  return model || ((await isInside()) ? inside : undefined);
}

/** @param {number} tabId @returns {Promise<import("./types").Picture[]>} */
export async function picturesOf(tabId) {
  const target = { tabId, allFrames: true };
  const frames = await api.scripting.executeScript({ target, files: ["pictures.js"] });
  return frames.flatMap(({ frameId, result }) =>
    /** @type {import("./types").Picture[]} */ (result ?? []).map((one) => ({ ...one, frameId })),
  );
}

/**
 * Calls one of the functions that pictures.js left in a frame.
 * @param {number} tabId @param {number} frameId
 * @param {"read" | "find" | "show"} name @param {string} argument
 */
export async function inFrame(tabId, frameId, name, argument) {
  const [answer] = await api.scripting.executeScript({
    target: { tabId, frameIds: [frameId] },
    func: (which, given) => globalThis.altText[which](given),
    args: [name, argument],
  });
  return answer?.result;
}

/** @param {object} message @returns {Promise<any>} */
export const ask = (message) => api.runtime.sendMessage(message);

/**
 * Describes one picture: from its address where it has one of the web, else, or where its server refuses, as the page
 * reads it. Never throws.
 * @param {number} tabId
 * @param {import("./types").Picture} picture
 * @param {(message: object) => Promise<any>} host
 * @returns {Promise<import("./types").Description>}
 */
export async function describe(tabId, picture, host) {
  try {
    const model = await modelAddress();
    if (model === undefined) {
      return { why: "there is no model yet", fatal: true };
    }
    const refused = picture.inPage ? undefined : await host({ picture: picture.address, model });
    if (refused !== undefined && (refused.text !== undefined || refused.fatal)) {
      return refused;
    }
    const { data, why } = (await inFrame(tabId, picture.frameId, "read", picture.id)) ?? {};
    if (data !== undefined) {
      return await host({ picture: data, model });
    }
    return { why: refused?.why ?? why ?? "the page is gone" };
  } catch (error) {
    return { why: error instanceof Error ? error.message : String(error) };
  }
}
