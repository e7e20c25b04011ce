// The demo page: captions what it is given, says what it does, and can be used by everyone.
import { copyFileSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launch, serve } from "./lib/browser.js";
import { ROOT, scratch } from "./lib/program.js";
import type { TestServer } from "./lib/server.js";

const FOLDER = join(ROOT, "models/demo/images");
const CAPTIONS = JSON.parse(readFileSync(join(FOLDER, "captions.json"), "utf8"));
const FILES = ["scene-10000001.png", "scene-10000002.png", "scene-10000003.png"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser: Browser;
let server: TestServer;
beforeAll(async () => {
  browser = await launch();
  server = await serve({ isolated: true });
});
afterAll(async () => {
  await browser.close();
  await server.stop();
});

async function open(
  options: BrowserContextOptions = {},
  script = "",
  from = browser,
): Promise<{ page: Page; problems: string[] }> {
  const context = await from.newContext(options);
  context.setDefaultTimeout(0);
  await context.addInitScript(script);
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  context.on("request", (request) => {
    if (/^https?:/.test(request.url()) && !request.url().startsWith(server.origin)) {
      problems.push(`a request to ${request.url()}`);
    }
  });
  await page.goto(`${server.origin}/demo/index.html`);
  return { page, problems };
}

/** What axe finds that keeps people out. */
async function barriers(page: Page): Promise<string[]> {
  const session = await page.context().newCDPSession(page); // not bound by the page's policy
  await session.send("Runtime.evaluate", { expression: AXE });
  const { result } = await session.send("Runtime.evaluate", {
    expression: `axe.run().then(({ violations }) =>
      violations.map(({ id, impact, nodes }) => impact + " " + id + ": " + nodes[0].html))`,
    awaitPromise: true,
    returnByValue: true,
  });
  return result.value as string[];
}

for (const colorScheme of ["light", "dark"] as const) {
  for (const viewport of [
    { width: 1100, height: 900 },
    { width: 360, height: 740 },
  ]) {
    it(`captions many images: ${colorScheme}, ${viewport.width} pixels wide`, async () => {
      const { page, problems } = await open({ colorScheme, viewport });
      await page.setInputFiles(
        "#files",
        FILES.map((file) => join(FOLDER, file)),
      );
      await page.waitForFunction(
        (count) => document.querySelectorAll(".card button:enabled").length === count,
        FILES.length,
      );
      const texts = await page.locator(".card .text").allTextContents();
      expect(texts.reverse()).toEqual(FILES.map((file) => CAPTIONS[file]));
      expect(await page.locator("#count").textContent()).toBe("3 of 3");
      expect(await page.locator("#state").textContent()).toMatch(/^Ready in .*fp32, WebAssembly/);
      expect(await barriers(page)).toEqual([]);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      expect(width).toBeLessThanOrEqual(viewport.width);
      const folder = process.env["LORAPRESS_WEB_SCREENSHOTS"];
      if (folder !== undefined) {
        await page.screenshot({ path: join(folder, `${colorScheme}-${viewport.width}.png`) });
      }
      expect(problems).toEqual([]);
      await page.context().close();
    });
  }
}

it("continues the prompt that is written in its field", async () => {
  const { page, problems } = await open();
  await page.waitForSelector('#prompt[placeholder="What the caption begins with"]');
  await page.fill("#prompt", "the tree on");
  await page.setInputFiles("#files", join(FOLDER, FILES[0] ?? ""));
  await page.waitForFunction(() => document.querySelectorAll(".card button:enabled").length === 1);
  const told = await page.locator(".card button").first().getAttribute("aria-label");
  expect(told).not.toBe(`Copy as alt text: ${CAPTIONS[FILES[0] ?? ""]}`);
  expect(problems).toEqual([]);
  await page.context().close();
});

it("takes beams, dropped and pasted images, and copies alt texts", async () => {
  const { page, problems } = await open();
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.selectOption("#beams", "3");
  const bytes = readFileSync(join(FOLDER, FILES[0] ?? "")).toString("base64");
  for (const type of ["drop", "paste"]) {
    await page.evaluate(
      ([kind, base64]) => {
        const content = Uint8Array.from(atob(base64 ?? ""), (c) => c.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(
          new File([content], kind === "paste" ? "" : "a.png", { type: "image/png" }),
        );
        const event =
          kind === "drop"
            ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true })
            : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
        document.body.dispatchEvent(event);
      },
      [type, bytes],
    );
  }
  await page.waitForFunction(() => document.querySelectorAll(".card button:enabled").length === 2);
  await page.locator(".card button").first().focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.body.textContent?.includes("Copied"));
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  expect(copied).toBe(`alt="${CAPTIONS[FILES[0] ?? ""]}"`);
  await page.click("#copy-all");
  await page.waitForFunction(() => document.getElementById("copy-all")?.textContent === "Copied");
  const all = await page.evaluate(() => navigator.clipboard.readText());
  expect(all.split("\n").length).toBe(2);
  await page.setInputFiles("#files", {
    name: "x.png",
    mimeType: "image/png",
    buffer: Buffer.from("no"),
  });
  await page.waitForFunction(() => document.body.textContent?.includes("No caption: "));
  expect(await page.locator("#count").textContent()).toBe("2 of 3, 1 failed");
  expect(problems).toEqual([]);
  await page.context().close();
});

it("names what is no image, however it comes, in one visible line", async () => {
  for (const width of [1100, 360]) {
    const { page, problems } = await open({ viewport: { width, height: 740 } });
    const line = page.locator("#refused");
    const said = async (text: string): Promise<void> => {
      await page.waitForFunction(
        (wanted) => document.getElementById("refused")?.textContent === wanted,
        text,
      );
      expect(text === "" || (await line.isVisible())).toBe(true);
    };
    const give = (kind: string, files: readonly (readonly [string, string])[]): Promise<void> =>
      page.evaluate(
        ([type, list]) => {
          const transfer = new DataTransfer();
          for (const [name, mime] of list) {
            transfer.items.add(new File(["no image"], name, { type: mime }));
          }
          document.body.dispatchEvent(
            type === "drop"
              ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true })
              : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }),
          );
        },
        [kind, files] as const,
      );
    await give("drop", [["notes.txt", "text/plain"]]);
    await said("Not captioned: notes.txt is no image.");
    const folder = process.env["LORAPRESS_WEB_SCREENSHOTS"];
    if (folder !== undefined) {
      await page.screenshot({ path: join(folder, `refused-${width}.png`) });
    }
    await give("paste", [["song.mp3", "audio/mpeg"]]);
    await said("Not captioned: song.mp3 is no image.");
    const chosen = (name: string) => ({ name, mimeType: "", buffer: Buffer.from("no image") });
    await page.setInputFiles("#files", [chosen("a"), chosen("b.xyz")]);
    await said("Not captioned: a, b.xyz are no images.");
    await give("drop", []);
    await said("Not captioned: what was dropped is no image.");
    await give(
      "drop",
      ["1", "2", "3", "4", "5"].map((name) => [`${name}.pdf`, "application/pdf"] as const),
    );
    await said("Not captioned: 1.pdf, 2.pdf, 3.pdf and 2 more are no images.");
    expect(await page.locator(".card").count()).toBe(0);
    expect(await barriers(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(
      width,
    );
    // An image between others is captioned, and one whose name says nothing, too.
    const buffer = readFileSync(join(FOLDER, FILES[0] ?? ""));
    await page.setInputFiles("#files", [
      { name: "data.json", mimeType: "application/json", buffer: Buffer.from("{}") },
      { name: "picture", mimeType: "", buffer },
    ]);
    await page.waitForFunction(() => document.querySelector(".card button:enabled") !== null);
    expect(await page.locator(".card .text").textContent()).toBe(CAPTIONS[FILES[0] ?? ""]);
    await said("Not captioned: data.json is no image.");
    await page.setInputFiles("#files", join(FOLDER, FILES[1] ?? ""));
    await said("");
    expect(problems).toEqual([]);
    await page.context().close();
  }
});

it("tells how far the model is, then the caption comes in pieces", async () => {
  let arrive = (): void => {};
  const wait = new Promise<void>((resolve) => {
    arrive = resolve;
  });
  server.options = {
    ...server.options,
    fault: ({ path }) => (path.endsWith("decoder_model_merged.onnx") ? { wait } : undefined),
  };
  const { page, problems } = await open();
  await page.evaluate(() => {
    const seen: string[] = [];
    Object.assign(globalThis, { seen });
    const look = (): void => {
      seen.push(document.querySelector(".card .text")?.textContent ?? "");
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true });
  });
  await page.setInputFiles("#files", join(FOLDER, FILES[1] ?? "")); // before the model is there
  await page.waitForFunction(() =>
    /^[\d.]+ MB of [\d.]+ MB/.test(document.getElementById("state")?.textContent ?? ""),
  );
  expect(await page.locator("#progress").isVisible()).toBe(true);
  expect(await page.locator(".card").getAttribute("aria-busy")).toBe("true");
  expect(await page.locator("#count").textContent()).toBe("0 of 1");
  arrive();
  await page.waitForFunction(() => document.querySelector(".card button:enabled") !== null);
  expect(await page.locator("#progress").isVisible()).toBe(false);
  const text: string = CAPTIONS[FILES[1] ?? ""];
  const seen = (await page.evaluate("[...new Set(seen)]")) as string[];
  expect(seen.length).toBeGreaterThan(5);
  expect(seen.filter((part) => !text.startsWith(part.trim()))).toEqual([]);
  expect(await page.locator(".card .timings").textContent()).toMatch(/^prepare .*ms a token$/);
  expect(await page.locator("#spoken").textContent()).toBe(text);
  expect(problems).toEqual([]);
  server.options = { isolated: true };
  await page.context().close();
});

it("offers the folder's dtypes and takes the one that is chosen", async () => {
  const { page, problems } = await open();
  await page.goto(`${server.origin}/demo/index.html?model=/models/demo-dtypes`);
  const says = (text: string): Promise<unknown> =>
    page.waitForFunction(
      (part) => document.getElementById("state")?.textContent?.includes(part),
      text,
    );
  await says(": q8, WebAssembly");
  expect(await page.locator("#dtype option").allTextContents()).toEqual([
    "auto",
    "fp16",
    "fp32",
    "q8",
  ]);
  await page.selectOption("#dtype", "fp32");
  await says(": fp32, WebAssembly");
  await page.setInputFiles("#files", join(FOLDER, FILES[1] ?? ""));
  await page.waitForFunction(() => document.querySelector(".card button:enabled") !== null);
  expect(await page.locator(".card .text").textContent()).toBe(CAPTIONS[FILES[1] ?? ""]);
  expect(problems).toEqual([]);
  await page.context().close();
});

describe("the camera", () => {
  const FAKE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
  /** Remembers what the page got from getUserMedia, in `streams`. */
  const RECORD = `globalThis.streams = [];
    const devices = navigator.mediaDevices, get = devices.getUserMedia.bind(devices);
    devices.getUserMedia = async (wish) => { const s = await get(wish); streams.push(s); return s; };`;
  const LIVE = `streams.flatMap((s) => s.getTracks()).filter((t) => t.readyState === "live").length`;

  it("takes a picture, captions it, and is off again; Escape closes it", async () => {
    const film = join(scratch(), "camera.mjpeg"); // one frame, for ever
    copyFileSync(join(FOLDER, "wide-256x192.jpg"), film);
    const other = await launch([...FAKE, `--use-file-for-fake-video-capture=${film}`]);
    const { page, problems } = await open({}, RECORD, other);
    const dialog = page.locator("#viewfinder");
    await page.locator("#camera").focus();
    await page.keyboard.press("Enter");
    await page.locator("#shoot:enabled").waitFor();
    expect(await page.evaluate(LIVE)).toBe(1);
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("shoot");
    expect(await barriers(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    await page.waitForFunction(`(${LIVE}) === 0`);
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("camera");
    await page.click("#camera");
    await page.locator("#shoot:enabled").click();
    await page.waitForFunction(() => document.querySelector(".card button:enabled") !== null);
    const said = await page.locator(".card .text").textContent();
    expect(said).toBe(CAPTIONS["wide-256x192.jpg"]);
    expect(await page.evaluate("streams.length")).toBe(2);
    await page.waitForFunction(`(${LIVE}) === 0`);
    const natural = await page.evaluate(() => document.querySelector("img")?.naturalWidth ?? 0);
    expect(natural).toBeGreaterThan(100);
    expect(await page.locator("#count").textContent()).toBe("1 of 1");
    expect(problems).toEqual([]);
    await other.close();
  });

  it("says why there is none", async () => {
    const refuse = `navigator.mediaDevices.getUserMedia = () =>
      Promise.reject(new DOMException("no", "NotAllowedError"));`;
    const { page } = await open({}, refuse);
    await page.click("#camera");
    await page.waitForFunction(() => document.getElementById("note")?.textContent !== "");
    expect(await page.locator("#note").textContent()).toMatch(/^The camera was refused/);
    expect(await page.locator("#viewfinder").isVisible()).toBe(false);
    await page.context().close();
  });

  it("is not offered where the browser has none", async () => {
    const { page } = await open({}, "Object.defineProperty(navigator, 'mediaDevices', {})");
    expect(await page.locator("#files").count()).toBe(1);
    expect(await page.locator("#camera").isVisible()).toBe(false);
    await page.context().close();
  });
});
