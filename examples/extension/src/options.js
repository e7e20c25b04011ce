import { api } from "./common.js";

const field = /** @type {HTMLInputElement} */ (document.getElementById("model"));
const said = /** @type {HTMLElement} */ (document.getElementById("said"));

const { model } = await api.storage.local.get("model");
field.value = model ?? "";

/** Why there is no model at the address; empty where there is one. @param {string} address */
async function faultOf(address) {
  try {
    const response = await fetch(new URL("lorapress.json", address.replace(/\/?$/, "/")));
    const { format_version: version } = response.ok ? await response.json() : {};
    return version === undefined ? "there is no lorapress.json at this address" : "";
  } catch {
    return "this address cannot be reached";
  }
}

document.querySelector("form")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fault = field.value === "" ? "" : await faultOf(field.value);
  if (fault === "") {
    await api.storage.local.set({ model: field.value });
  }
  said.textContent = fault === "" ? "Saved" : `Not saved: ${fault}`;
});
