// examples/extension, built from the packed package, in Chromium and Firefox: a page with pictures of all kinds.
import assert from "node:assert/strict";
import { cpSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Firefox, findFirefox } from "../e2e/lib/firefox.mjs";
import { launchWithExtension } from "./lib/browser.mjs";
import { EXPECTED, servePictures } from "./lib/pictures_page.mjs";
import { install, ROOT, run } from "./lib/project.mjs";
import { serve } from "./lib/server.mjs";

const SCRATCH = process.env.LORAPRESS_BUNDLERS_SCRATCH;
const MODEL = join(SCRATCH, "model");
const fromWeb = createRequire(join(ROOT, "web/package.json"));
const AXE = readFileSync(fromWeb.resolve("axe-core/axe.min.js"), "utf8");

const folder = join(SCRATCH, "extension");
let context;
let pictures;
let models;
let worker;
let page;
let tabId;

const addressOf = (path) => new URL(path, worker.url()).href;

before(() => {
  cpSync(join(ROOT, "examples/extension"), folder, { recursive: true, filter: (path) => !/\/(dist|node_modules)$/.test(path) });
  install(folder);
  run("node", ["build.mjs", "--model", MODEL, "--out", "inside"], folder);
  run("node", ["build.mjs"], folder);
});

async function openChromium() {
  models = await serve(SCRATCH);
  pictures = await servePictures();
  context = await launchWithExtension(join(SCRATCH, "profile-extension"), join(folder, "dist"));
  context.setDefaultTimeout(120_000);
  worker = context.serviceWorkers()[0] ?? (await context.waitForEvent("serviceworker"));
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  page = await context.newPage();
  await page.goto(pictures.url);
  await page.waitForFunction(() => document.documentElement.dataset.made === "yes");
  tabId = await worker.evaluate(async (url) => (await chrome.tabs.query({})).find((tab) => tab.url === url)?.id, pictures.url);
}

async function close() {
  await context?.close();
  pictures?.stop();
  models?.stop();
}

/** The panel beside the page, when it has nothing left to do. */
async function openPanel() {
  const panel = await context.newPage();
  await panel.goto(addressOf(`panel.html?tab=${tabId}`));
  await panel.evaluate(finished);
  return panel;
}

// In the panel:
async function finished() {
  while (document.body.dataset.state !== "done") {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
const rows = async () =>
  [...document.querySelectorAll("li")].map((item) => ({
    facts: item.querySelector(".facts").textContent,
    text: item.querySelector("textarea")?.value,
  }));

function assertAll(found) {
  assert.equal(found.length, EXPECTED.length);
  for (const { facts, text, why } of EXPECTED) {
    const same = found.filter((row) => row.facts.includes(facts));
    const reason = (row) => row.facts.slice(row.facts.indexOf(facts) + facts.length + 2);
    const fits = (row) => (why ? why.test(reason(row)) : text === "" ? row.text : row.text === text);
    assert.ok(same.some(fits), `${facts}: expected ${why ?? `"${text}"`}, found ${JSON.stringify(same)}`);
  }
}
const COUNT = `${EXPECTED.filter(({ why }) => why === undefined).length} of ${EXPECTED.length} pictures described`;

/** What axe finds that keeps people out. */
async function barriers(panel) {
  const session = await panel.context().newCDPSession(panel); // not bound by the page's policy
  await session.send("Runtime.evaluate", { expression: AXE });
  const expression = `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ": " + nodes[0].html))`;
  const { result } = await session.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
  return result.value;
}

const clipboard = () => page.evaluate(() => navigator.clipboard.readText());

it("examples/extension is well typed", () => {
  assert.equal(run(join(ROOT, "web/node_modules/.bin/tsc"), ["-p", "."], folder), "");
});

describe("examples/extension in Chromium", () => {
  before(openChromium);
  after(close);

  it("without a model says so, and fetches the one that its options name", async () => {
    const problem = (await openPanel()).locator("#problem");
    assert.equal(await problem.textContent(), "No captions: there is no model yet. The options name the model.");
    const options = await context.newPage();
    await options.goto(addressOf("options.html"));
    for (const [address, said] of [["nothing/", "Not saved: there is no lorapress.json at this address"], ["model/", "Saved"]]) {
      await options.fill("#model", `${models.origin}/${address}`);
      await options.keyboard.press("Enter");
      await options.locator("#said", { hasText: said }).waitFor();
    }
  });

  it("describes what can be described, and says of the rest why not", async () => {
    const panel = await openPanel();
    assertAll(await panel.evaluate(rows));
    assert.equal(await panel.locator("#count").textContent(), COUNT);
    const decoder = models.asked.filter((path) => path.endsWith("decoder_model_merged.onnx"));
    assert.equal(decoder.length, 1, models.asked.join(" "));
    assert.equal(await panel.evaluate(() => crossOriginIsolated), true); // the engine may have threads
    await panel.close();
  });

  it("can be used by keyboard and by screen reader, in light and dark", async () => {
    const panel = await openPanel();
    for (const colorScheme of ["light", "dark"]) {
      await panel.emulateMedia({ colorScheme });
      assert.deepEqual(await barriers(panel), []);
    }
    await panel.locator("#options").focus();
    for (const expected of ["Show on the page", "Alt text of picture 1", "Copy alt text of picture 1"]) {
      await panel.keyboard.press("Tab");
      const name = await panel.evaluate(() => document.activeElement.getAttribute("aria-label"));
      assert.ok(name.startsWith(expected), `${name}, expected ${expected}`);
    }
    await panel.keyboard.press("Enter");
    await panel.waitForFunction(() => document.querySelector(".done").textContent === "Copied");
    const [{ text }] = await panel.evaluate(rows);
    assert.equal(await panel.evaluate(() => navigator.clipboard.readText()), text);
    await panel.close();
  });

  it("copies and shows what the menu is used on", async () => {
    await page.bringToFront();
    const cases = [
      [await page.evaluate(() => document.getElementById("blob").src), "Alt text, copied", EXPECTED[3].text],
      [new URL("/broken.png", pictures.url).href, "No alt text", "this browser cannot decode it"],
    ];
    for (const [srcUrl, title, text] of cases) {
      await worker.evaluate(([address, id]) => onClicked({ srcUrl: address, frameId: 0 }, { id }), [srcUrl, tabId]);
      const note = page.locator("#alt-text-note [role=status]");
      await note.filter({ hasText: title }).waitFor();
      assert.ok((await note.textContent()).endsWith(text));
    }
    assert.equal(await clipboard(), EXPECTED[3].text);
  });
});

it("examples/extension in Firefox describes and copies the same", async () => {
  const program = findFirefox();
  assert.ok(program, "no firefox-esr (tools/setup.sh test; FIREFOX names another)");
  const server = await servePictures();
  const firefox = await Firefox.start(program, { "dom.events.testing.asyncClipboard": true });
  try {
    const { value: id } = await firefox.command("Addon:Install", { path: join(folder, "inside"), temporary: true });
    await firefox.open(server.url);
    const { value: first } = await firefox.command("WebDriver:GetWindowHandle");
    const [host, tab] = await firefox.run(
      async (addon) => {
        const { ExtensionParent } = ChromeUtils.importESModule("resource://gre/modules/ExtensionParent.sys.mjs");
        const { tabTracker } = ExtensionParent.apiManager.global;
        return [WebExtensionPolicy.getByID(addon).mozExtensionHostname, tabTracker.getId(gBrowser.selectedTab)];
      },
      [id],
      "chrome",
    );
    await firefox.run(async () => true); // back to the page
    const { handle } = await firefox.command("WebDriver:NewWindow", { type: "tab" });
    await firefox.command("WebDriver:SwitchToWindow", { handle });
    await firefox.open(`moz-extension://${host}/panel.html?tab=${tab}`);
    await firefox.run(finished);
    assertAll(await firefox.run(rows));
    const copied = await firefox.run(
      async (srcUrl, tabId) => {
        const background = await browser.runtime.getBackgroundPage();
        await background.onClicked({ srcUrl, frameId: 0 }, { id: tabId });
        return navigator.clipboard.readText();
      },
      [new URL("scene-10000000.png", server.url).href, tab],
    );
    assert.equal(copied, EXPECTED[0].text);
    await firefox.command("WebDriver:SwitchToWindow", { handle: first });
    const note = await firefox.run(async () => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      return document.getElementById("alt-text-note").shadowRoot.textContent;
    });
    assert.match(note, /^Alt text, copied/);
  } finally {
    await firefox.close();
    server.stop();
  }
});
