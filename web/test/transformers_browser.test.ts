// lorapress/transformers under the unmodified transformers.js 4, 3 and 2 in Chromium.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { launch, serve, Tab } from "./lib/browser.js";
import { mounts, VERSIONS, type Version } from "./lib/clients.js";
import { press, ROOT } from "./lib/program.js";
import type { TestServer } from "./lib/server.js";

const IMAGE = "/images/scene-10000001.png";
const CAPTIONS = JSON.parse(readFileSync(join(ROOT, "models/demo/images/captions.json"), "utf8"));
const TEXT: string = CAPTIONS["scene-10000001.png"];

let browser: Browser;
let server: TestServer;
beforeAll(async () => {
  press("demo-standard", join(ROOT, "models/demo"), ["--ops", "standard"]);
  browser = await launch();
  server = await serve({}, { ...mounts("v4"), ...mounts("v3"), ...mounts("v2") });
});
afterAll(async () => {
  await browser.close();
  await server.stop();
});

const modelRequests = (): string[] =>
  server.requests.map(({ path }) => path).filter((path) => path.startsWith("/models/"));

const caption = (tab: Tab, version: Version, folder: string): Promise<unknown> => {
  const given = [version, folder, IMAGE].map((text) => JSON.stringify(text)).join();
  return tab.page.evaluate(`import("/page/stock.mjs").then(({ caption }) => caption(${given}))`);
};

for (const version of ["v4", "v3", "v2"] as const) {
  it(`transformers.js ${VERSIONS[version]}: captions, resumes, stores, and says what is wrong`, async () => {
    const folder = version === "v2" ? "/models/demo-standard" : "/models/demo";
    const spoilt = (path: string): boolean => path === `${folder}/onnx/encoder_model.onnx`;
    const tab = await Tab.open(browser, server);
    server.clear();
    const cuts = [1_000_000];
    server.options = {
      fault: ({ path }) => {
        const cutAfter = spoilt(path) ? cuts.shift() : undefined;
        return cutAfter === undefined ? undefined : { cutAfter, gently: true };
      },
    };
    const said = { version: VERSIONS[version], text: TEXT };
    expect(await caption(tab, version, folder)).toEqual(said);
    const parts = server.requests.filter(({ path }) => spoilt(path));
    expect(parts.length).toBe(2); // where it went on is for Chromium to say: it may drop what has come

    await Tab.visit(tab.page, server); // as on another day
    server.clear();
    expect(await caption(tab, version, folder)).toEqual(said);
    expect(modelRequests()).toEqual([`${folder}/lorapress.json`]);
    expect(await tab.page.evaluate(() => caches.keys())).toEqual([]); // nothing is stored twice

    const other = await Tab.open(browser, server);
    server.options = { fault: ({ path }) => (spoilt(path) ? { flipByte: 77 } : undefined) };
    expect(await caption(other, version, folder)).toMatchObject({
      code: "invalid_file",
      error: expect.stringMatching(/encoder_model\.onnx.*SHA-256 is .*lorapress\.json says/),
    });
    expect([...tab.foreign(server), ...other.foreign(server)]).toEqual([]);
    await tab.close();
    await other.close();
    server.options = {};
  });
}
