// A browser extension that brings the package and a model along, in Chromium, without any server.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BrowserContext } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { launchProfile } from "./lib/browser.js";
import { pressed, ROOT } from "./lib/program.js";

const CAPTIONS = JSON.parse(readFileSync(join(ROOT, "models/demo/images/captions.json"), "utf8"));
// What docs/web.md says an extension's manifest needs.
const MANIFEST = {
  manifest_version: 3,
  name: "captions",
  version: "1",
  action: { default_popup: "popup.html" },
  content_security_policy: {
    extension_pages: "script-src 'self' 'wasm-unsafe-eval'; object-src 'self'",
  },
  background: { service_worker: "background.js" },
};

const folder = mkdtempSync(join(tmpdir(), "lorapress-extension-"));
const extension = join(folder, "extension");
let context: BrowserContext;

beforeAll(async () => {
  cpSync(pressed("bundle"), join(extension, "lorapress"), { recursive: true });
  cpSync(pressed("demo"), join(extension, "model"), { recursive: true });
  cpSync(join(ROOT, "models/demo/images/scene-10000001.png"), join(extension, "image.png"));
  writeFileSync(join(extension, "manifest.json"), JSON.stringify(MANIFEST));
  writeFileSync(join(extension, "background.js"), "");
  const script = '<!doctype html><script type="module" src="popup.js"></script>';
  writeFileSync(join(extension, "popup.html"), script);
  writeFileSync(
    join(extension, "popup.js"),
    'import * as lorapress from "./lorapress/lorapress.js"; Object.assign(globalThis, { lorapress });',
  );
  context = await launchProfile(join(folder, "profile"), [
    `--disable-extensions-except=${extension}`,
    `--load-extension=${extension}`,
  ]);
});
afterAll(async () => {
  await context?.close();
  rmSync(folder, { recursive: true, force: true });
});

it("captions with a model that the extension brings, in a worker and in its page", async () => {
  const worker = context.serviceWorkers()[0] ?? (await context.waitForEvent("serviceworker"));
  const page = await context.newPage();
  const urls: string[] = [];
  context.on("request", (request) => urls.push(request.url()));
  await page.goto(new URL("popup.html", worker.url()).href);
  await page.waitForFunction(() => "lorapress" in globalThis);
  for (const inWorker of [true, false]) {
    const said = await page.evaluate(async (wanted) => {
      const captioner = await lorapress.Captioner.load("model/", { worker: wanted });
      const { text } = await captioner.caption("image.png");
      await captioner.dispose();
      return text;
    }, inWorker);
    expect(said).toBe(CAPTIONS["scene-10000001.png"]);
  }
  const origin = worker.url().replace("background.js", "");
  expect(origin).toMatch(/^chrome-extension:/);
  expect(urls.filter((url) => !url.startsWith(origin) && !url.startsWith("blob:"))).toEqual([]);
});
