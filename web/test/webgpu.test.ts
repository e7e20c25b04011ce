// WebGPU, by Chromium's software adapter: slow, but every operator and every copy of the cache on the
// device is the real one.
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { launch, serve, Tab, WEBGPU } from "./lib/browser.js";
import { readGolden } from "./lib/goldens.js";
import type { TestServer } from "./lib/server.js";

let browser: Browser;
let server: TestServer;
let tab: Tab;
beforeAll(async () => {
  browser = await launch(WEBGPU);
  server = await serve();
  tab = await Tab.open(browser, server);
});
afterAll(async () => {
  await browser.close();
  await server.stop();
});

for (const folder of ["base", "base-llava"]) {
  it(`${folder} equals PyTorch, greedy and with beams that change places on the device`, async () => {
    const { captions, beams } = readGolden("base");
    const found = await tab.page.evaluate(async (folder) => {
      const path = "/goldens/checkpoints/base/golden";
      const choice = { device: "webgpu", dtype: "fp32" } as const;
      const captioner = await lorapress.Captioner.load(`/models/${folder}`, choice);
      const options = { numBeams: 3, maxNewTokens: 30 };
      const greedy = await captioner.caption(`${path}/image0.png`);
      const best = await captioner.caption(`${path}/image0.png`, options);
      const again = await captioner.caption(`${path}/image1.png`);
      const { device } = captioner.info;
      await captioner.dispose();
      return { device, ids: [greedy.ids, best.ids, again.ids] };
    }, folder);
    expect(found.device).toBe("webgpu");
    const wanted = [captions[0]?.ids, beams[0]?.results[0]?.ids[0], captions[1]?.ids];
    expect(found.ids).toEqual(wanted);
  });
}

it("is not taken by itself where it is software", async () => {
  const device = await tab.page.evaluate(async () => {
    const captioner = await lorapress.Captioner.load("/models/base");
    const { device } = captioner.info;
    await captioner.dispose();
    return device;
  });
  expect(device).toBe("wasm");
});
