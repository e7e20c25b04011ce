// examples/ort-web and examples/transformers-js as pages in Chromium, with the clients that npm ships.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { launch, serve, Tab } from "./lib/browser.js";
import { mounts } from "./lib/clients.js";
import { press, ROOT, WEB } from "./lib/program.js";
import type { TestServer } from "./lib/server.js";

const IMAGES = join(ROOT, "models/demo/images");
const CAPTIONS = JSON.parse(readFileSync(join(IMAGES, "captions.json"), "utf8"));
const IMAGE = "scene-10000003.png";

let browser: Browser;
let server: TestServer;
beforeAll(async () => {
  press("demo-single", join(ROOT, "models/demo"), ["--bundle", "single"]);
  browser = await launch();
  const v4 = mounts("v4");
  const transformers = "/transformers-js/node_modules";
  server = await serve(
    {},
    {
      "/ort-web/node_modules/": join(WEB, "node_modules"),
      "/ort-web/": join(ROOT, "examples/ort-web"),
      [`${transformers}/@huggingface/transformers/dist/`]: v4["/v4/"] ?? "",
      [`${transformers}/onnxruntime-web/dist/`]: v4["/v4-ort/"] ?? "",
      "/transformers-js/": join(ROOT, "examples/transformers-js"),
    },
  );
});
afterAll(async () => {
  await browser.close();
  await server.stop();
});

for (const page of [
  "ort-web/index.html?model=/models/demo-single",
  "ort-web/index.html?model=/models/demo-external",
  "transformers-js/index.html?model=/models/demo",
  "transformers-js/index.html?model=/models/demo&way=pipeline",
]) {
  it(`${page} captions what is chosen`, async () => {
    const tab = await Tab.open(browser, server);
    const problems: string[] = [];
    tab.page.on("pageerror", ({ message }) => problems.push(message));
    await tab.page.goto(`${server.origin}/${page}`);
    await tab.page.waitForFunction(
      () => !document.getElementById("caption")?.textContent?.startsWith("Loading"),
    );
    expect(await tab.page.locator("#caption").textContent()).toBe("Choose an image.");
    await tab.page.setInputFiles("#file", join(IMAGES, IMAGE));
    const text: string = CAPTIONS[IMAGE];
    await tab.page.waitForFunction(
      (expected) => document.getElementById("caption")?.textContent === expected,
      text,
    );
    expect(problems).toEqual([]);
    expect(tab.foreign(server)).toEqual([]);
    await tab.close();
  });
}
