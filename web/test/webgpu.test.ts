// WebGPU, by Chromium's software adapter: slow, but every operator and every copy of the cache on the
// device is the real one.
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { launch, serve, Tab, WEBGPU } from "./lib/browser.js";
import { readCross, readGolden } from "./lib/goldens.js";
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

const FOLDERS = [
  { folder: "base", golden: readGolden("base"), path: "/goldens/checkpoints/base/golden" },
  { folder: "base-llava", golden: readGolden("base"), path: "/goldens/checkpoints/base/golden" },
  ...["vitgpt2", "blip"].map((name) => ({
    folder: `${name}-cross`,
    golden: readCross(name),
    path: `/goldens/cross/${name}/golden`,
  })),
];

for (const { folder, golden, path } of FOLDERS) {
  it(`${folder} equals PyTorch, greedy and with beams that change places on the device`, async () => {
    const { captions, beams } = golden;
    const { max_new_tokens: maxNewTokens } = beams[0]?.options ?? {};
    const found = await tab.page.evaluate(
      async ({ folder, path, options }) => {
        const choice = { device: "webgpu", dtype: "fp32" } as const;
        const captioner = await lorapress.Captioner.load(`/models/${folder}`, choice);
        const greedy = await captioner.caption(`${path}/image0.png`);
        const best = await captioner.caption(`${path}/image0.png`, options);
        const again = await captioner.caption(`${path}/image1.png`);
        const { device } = captioner.info;
        await captioner.dispose();
        return { device, ids: [greedy.ids, best.ids, again.ids] };
      },
      { folder, path, options: { numBeams: 3, maxNewTokens: Number(maxNewTokens) } },
    );
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
