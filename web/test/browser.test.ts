// The bundle in Chromium: captions, storage, broken connections, hostile folders.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { LoadOptions } from "../src/index.js";
import { launch, serve, Tab } from "./lib/browser.js";
import { readGolden } from "./lib/goldens.js";
import { ROOT } from "./lib/program.js";
import { randomIntegers } from "./lib/random.js";
import type { TestServer } from "./lib/server.js";

const IMAGE = "/images/scene-10000001.png";
const CAPTIONS = JSON.parse(readFileSync(join(ROOT, "models/demo/images/captions.json"), "utf8"));
const TEXT: string = CAPTIONS["scene-10000001.png"];

let browser: Browser;
let server: TestServer;
let tab: Tab;

beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

beforeEach(async () => {
  server = await serve();
  tab = await Tab.open(browser, server);
  server.clear();
});
afterEach(async () => {
  expect(tab.foreign(server)).toEqual([]);
  await tab.close();
  await server.stop();
});

const modelRequests = () => server.requests.filter(({ path }) => path.startsWith("/models/"));

/** Loads a model in the page, captions one image and lets go of it. */
function captionOnce(
  page = tab.page,
  options: LoadOptions = {},
  model = "/models/demo",
): Promise<{ text: string; threads: number; notes: string[] }> {
  return page.evaluate(
    async ([folder, image, settings]) => {
      const notes: string[] = [];
      const onProgress = ({ note }: { note: string | undefined }) => {
        if (note !== undefined) {
          notes.push(note);
        }
      };
      const captioner = await lorapress.Captioner.load(folder, { ...settings, onProgress });
      const { text } = await captioner.caption(image);
      const { threads } = captioner.info;
      await captioner.dispose();
      return { text, threads, notes };
    },
    [model, IMAGE, options] as const,
  );
}

/** The error's code, or "none". */
function codeOf(options: LoadOptions = {}, model = "/models/demo"): Promise<string> {
  return tab.page.evaluate(
    async ([folder, settings]) => {
      try {
        const captioner = await lorapress.Captioner.load(folder, settings);
        await captioner.ready;
        return "none";
      } catch (error) {
        return error instanceof lorapress.LorapressError ? error.code : String(error);
      }
    },
    [model, options] as const,
  );
}

describe("captions", () => {
  /** The engine's files that were asked for. */
  const engine = () =>
    server.requests
      .map(({ path }) => path)
      .filter((path) => /\/(engine|ort)\//.test(path))
      .sort();

  it("without COOP and COEP: one thread, in a worker and in the page, and no ONNX Runtime", async () => {
    const caption = { text: TEXT, threads: 1, notes: [] };
    expect(await captionOnce()).toEqual(caption);
    expect(engine()).toEqual(["/bundle/engine/engine_relaxed.wasm"]);
    expect(await captionOnce(tab.page, { worker: false, threads: 2 })).toEqual(caption);
  });

  it("with COOP and COEP: two threads in a worker, one in the page, which must not wait", async () => {
    server.options = { isolated: true };
    await Tab.visit(tab.page, server);
    expect(await tab.page.evaluate(() => crossOriginIsolated)).toBe(true);
    expect(await captionOnce(tab.page, { threads: 2 })).toEqual({
      text: TEXT,
      threads: 2,
      notes: [],
    });
    expect(engine()).toEqual([
      "/bundle/engine/engine_relaxed_threads.wasm",
      "/bundle/engine/thread.js",
    ]);
    expect((await captionOnce(tab.page, { worker: false, threads: 2 })).threads).toBe(1);
    expect((await captionOnce()).threads).toBe(1); // what a small model takes by itself
  });

  it.each([false, true])(
    "on ONNX Runtime, where it is asked for, isolated: %s",
    async (isolated) => {
      const threads = isolated ? 2 : 1;
      server.options = { isolated };
      await Tab.visit(tab.page, server);
      for (const worker of isolated ? [true, false] : [true]) {
        const caption = await captionOnce(tab.page, { engine: "ort", worker, threads: 2 });
        expect(caption).toEqual({ text: TEXT, threads, notes: [] });
      }
      expect(engine().filter((path) => path.includes("/engine/"))).toEqual([]);
    },
  );

  it("equal PyTorch's, greedy and with beams", async () => {
    const { images, captions, beams } = readGolden("base");
    const folder = "/goldens/checkpoints/base/golden";
    expect(images.length).toBe(3);
    const found = await tab.page.evaluate(async (path) => {
      const captioner = await lorapress.Captioner.load("/models/base");
      const ids = [];
      for (const image of [0, 1, 2]) {
        ids.push((await captioner.caption(`${path}/image${image}.png`)).ids);
      }
      const options = { numBeams: 3, maxNewTokens: 30 };
      const best = await captioner.caption(`${path}/image0.png`, options);
      await captioner.dispose();
      return { ids, best: best.ids };
    }, folder);
    expect(found.ids).toEqual(captions.map(({ ids }) => ids));
    expect(found.best).toEqual(beams[0]?.results[0]?.ids[0]);
  });

  it("come without an encoder that is kept: at once, and of images that come later", async () => {
    const texts = await tab.page.evaluate(async (image) => {
      const captioner = await lorapress.Captioner.load("/models/demo", { keepEncoder: false });
      const atOnce = await captioner.caption(image);
      await captioner.ready;
      const later = [await captioner.caption(image), await captioner.caption(image)];
      await captioner.dispose();
      return [atOnce, ...later].map(({ text }) => text);
    }, IMAGE);
    expect(texts).toEqual([TEXT, TEXT, TEXT]);
    server.clear();
    const { text, notes } = await captionOnce(tab.page, { keepEncoder: false });
    expect([text, notes]).toEqual([TEXT, []]);
    expect(modelRequests().length).toBe(1); // lorapress.json; all else is in the store
  });

  it("come in pieces, one at a time, and stop when aborted", async () => {
    const found = await tab.page.evaluate(async (image) => {
      const captioner = await lorapress.Captioner.load("/models/demo");
      const log: string[] = [];
      const both = ["a", "b"].map(async (name) => {
        const pieces: string[] = [];
        for await (const piece of captioner.stream(image)) {
          log.push(name);
          pieces.push(piece);
        }
        return pieces;
      });
      const streams = await Promise.all(both);
      const controller = new AbortController();
      let seen = 0;
      let reason: unknown;
      try {
        for await (const _ of captioner.stream(image, { signal: controller.signal })) {
          seen += 1;
          controller.abort(new Error("enough"));
        }
      } catch (error) {
        reason = error;
      }
      for await (const _ of captioner.stream(image)) {
        break; // leaving stops it, too
      }
      const after = (await captioner.caption(image)).text;
      await captioner.dispose();
      const gone = await captioner.caption(image).catch((error: Error) => error.name);
      return { streams, log: log.join(""), seen, reason: String(reason), after, gone };
    }, IMAGE);
    expect(found.streams.map((pieces) => pieces.join(""))).toEqual([TEXT, TEXT]);
    expect(found.streams[0]?.length).toBeGreaterThan(5);
    expect(found.log).toMatch(/^a+b+$/);
    expect(found).toMatchObject({ reason: "Error: enough", after: TEXT, gone: "AbortError" });
    expect(found.seen).toBeLessThanOrEqual(2);
  });

  it("take an image from everything that holds one", async () => {
    const texts = await tab.page.evaluate(async (address) => {
      const captioner = await lorapress.Captioner.load("/models/demo");
      const blob = await (await fetch(address)).blob();
      const bitmap = await createImageBitmap(blob);
      const element = new Image();
      element.src = address;
      await element.decode();
      const canvas = document.createElement("canvas");
      const offscreen = new OffscreenCanvas(bitmap.width, bitmap.height);
      Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
      canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
      const context = offscreen.getContext("2d") as OffscreenCanvasRenderingContext2D;
      context.drawImage(bitmap, 0, 0);
      const data = context.getImageData(0, 0, bitmap.width, bitmap.height);
      const url = new URL(address, location.href);
      const texts: string[] = [];
      for (const image of [address, url, blob, bitmap, element, canvas, offscreen, data]) {
        texts.push((await captioner.caption(image)).text);
      }
      const bad = [new Blob(["no image"]), "/images/none.png", { width: 1 }, null, new Image()];
      for (const image of bad as never[]) {
        const code = await captioner.caption(image).catch((error: { code: string }) => error.code);
        texts.push(String(code));
      }
      await captioner.dispose();
      return texts;
    }, IMAGE);
    const bad = ["invalid_file", "not_found", "invalid_argument", "invalid_argument"];
    expect(texts).toEqual([...Array(8).fill(TEXT), ...bad, "invalid_argument"]);
  });
});

describe("the second visit", () => {
  it("makes no request for the model", async () => {
    await captionOnce();
    expect(modelRequests().length).toBeGreaterThan(3);
    server.clear();
    await Tab.visit(tab.page, server);
    expect(await captionOnce(tab.page, { update: "stored" })).toMatchObject({ text: TEXT });
    expect(modelRequests()).toEqual([]);
  });

  it("asks by default whether the model changed, and needs no answer", async () => {
    await captionOnce();
    server.clear();
    await captionOnce();
    expect(modelRequests()).toMatchObject([{ path: "/models/demo/lorapress.json", status: 304 }]);
    server.options = {
      fault: ({ path }) => (path.startsWith("/models/") ? { status: 503 } : undefined),
    };
    const offline = await captionOnce();
    expect(offline.text).toBe(TEXT);
    expect(offline.notes).toEqual([expect.stringContaining("does not answer")]);
  });

  it("goes on where a closed tab stopped", async () => {
    server.options = {
      fault: ({ path }) => (path.includes("decoder") ? { wait: new Promise(() => {}) } : undefined),
    };
    await tab.page.evaluate(async () => {
      let loaded = (): void => {};
      const encoder = new Promise<void>((resolve) => {
        loaded = resolve;
      });
      await lorapress.Captioner.load("/models/demo", {
        onProgress: ({ phase }) => phase === "encoder" && loaded(),
      });
      await encoder;
    });
    await tab.page.close();
    server.options = {};
    server.clear();
    expect((await captionOnce(await tab.another(server))).text).toBe(TEXT);
    const paths = modelRequests().map(({ path }) => path.replace("/models/demo/", ""));
    expect(paths).toEqual(["lorapress.json", "onnx/decoder_model_merged.onnx"]);
  });
});

describe("what breaks on the way", () => {
  it("ten broken connections cost nothing but what was in them", async () => {
    const random = randomIntegers();
    let cuts = 10;
    server.options = {
      fault: ({ path }) => {
        const cut = path.endsWith(".onnx") && cuts-- > 0;
        return cut ? { cutAfter: random(600_000) } : undefined;
      },
    };
    expect((await captionOnce(tab.page, { retryDelayMs: 1, retries: 20 })).text).toBe(TEXT);
    const decoder = modelRequests().filter(({ path }) => path.includes("decoder"));
    const starts = decoder.map(({ range }) => Number(range?.match(/\d+/)?.[0] ?? 0));
    expect([...starts].sort((a, b) => a - b)).toEqual(starts);
    expect(cuts).toBeLessThanOrEqual(0);
  });

  it("a flipped bit in any file is found and fetched again, then an error", async () => {
    const files = ["tokenizer.json", "encoder_model.onnx", "decoder_model_merged.onnx"];
    for (const file of files) {
      let flips = 1;
      server.options = {
        fault: ({ path }) => (path.endsWith(file) && flips-- > 0 ? { flipByte: 99 } : undefined),
      };
      expect(await codeOf({ cache: false }), file).toBe("none");
      flips = 2;
      expect(await codeOf({ cache: false }), file).toBe("invalid_file");
    }
  });

  it("a server without ranges serves as well", async () => {
    server.options = { ranges: false };
    expect((await captionOnce()).text).toBe(TEXT);
  });
});

describe("storage", () => {
  it("that is full is left for memory, and it is said", async () => {
    const session = await tab.context.newCDPSession(tab.page);
    const { origin } = server;
    await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 2_000_000 });
    const { text, notes } = await captionOnce();
    expect(text).toBe(TEXT);
    expect(notes).toEqual([
      expect.stringMatching(/storage refuses \(.+\); the model stays in memory/),
    ]);
  });

  it("that is refused is no obstacle", async () => {
    const other = await Tab.open(
      browser,
      server,
      "delete globalThis.indexedDB; indexedDB = undefined",
    );
    const { text, notes } = await captionOnce(other.page, { worker: false });
    expect(text).toBe(TEXT);
    expect(notes).toEqual([expect.stringContaining("no IndexedDB here")]);
    await other.close();
  });

  it("is shared by two tabs at once", async () => {
    const pages = [tab.page, await tab.another(server)];
    const captions = await Promise.all(pages.map((page) => captionOnce(page)));
    expect(captions.map(({ text }) => text)).toEqual([TEXT, TEXT]);
    server.clear();
    await captionOnce(pages[1], { update: "stored" });
    expect(modelRequests()).toEqual([]);
  });

  it("is emptied by clearCache()", async () => {
    await captionOnce();
    await tab.page.evaluate(() => lorapress.clearCache());
    server.clear();
    await captionOnce();
    expect(modelRequests().length).toBeGreaterThan(3);
  });
});

describe("hostile folders", () => {
  it("are refused with the program's codes, and lead nowhere", async () => {
    const rows = readFileSync(join(ROOT, "tests/hostile/manifests/index.tsv"), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => line.split("\t") as [string, string]);
    let manifest = "";
    const route = `${server.origin}/models/hostile/lorapress.json`;
    await tab.context.route(route, (answer) =>
      answer.fulfill({ body: readFileSync(join(ROOT, "tests/hostile/manifests", manifest)) }),
    );
    for (const [name, code] of rows) {
      manifest = name;
      expect(await codeOf({ worker: false, cache: false }, "/models/hostile"), name).toBe(code);
    }
    expect(modelRequests()).toEqual([]);
    expect(readdirSync(join(ROOT, "tests/hostile/manifests")).length).toBeGreaterThan(60);
  });

  it("and bad options get clear errors", async () => {
    expect(await codeOf({}, "/models/none")).toBe("not_found");
    expect(await codeOf({ dtype: "q3" })).toBe("not_found");
    expect(await codeOf({ device: "webgpu" })).toBe("unsupported");
    expect(await codeOf({ device: "tpu" as never })).toBe("invalid_argument");
    expect(await codeOf({ threads: 0 })).toBe("invalid_argument");
    expect(await codeOf({}, "ftp://models/demo")).toBe("invalid_argument");
  });
});
