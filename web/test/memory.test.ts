// Fifty captions leave nothing behind, in JavaScript or in the engine's memory; chunks go at once.
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { launch, serve, Tab } from "./lib/browser.js";

// The engine's module makes its memory itself; the browser's own figures leave it out.
const WATCH_MEMORY = `
  globalThis.memories = [];
  const { instantiate } = WebAssembly;
  WebAssembly.instantiate = async (...args) => {
    const instance = await instantiate(...args);
    globalThis.memories.push(instance.exports.memory);
    return instance;
  };`;

it("stays flat over fifty captions, greedy and with beams", async () => {
  const browser = await launch();
  const server = await serve();
  const tab = await Tab.open(browser, server, WATCH_MEMORY);
  const session = await tab.context.newCDPSession(tab.page);
  await session.send("HeapProfiler.enable");
  const bytes = async (): Promise<number> => {
    await session.send("HeapProfiler.collectGarbage");
    const usage = (await session.send("Runtime.getHeapUsage")) as unknown as Record<string, number>;
    const engine = await tab.page.evaluate(() => {
      const { memories } = globalThis as unknown as { memories: WebAssembly.Memory[] };
      return memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
    });
    expect(engine).toBeGreaterThan(5_000_000);
    return engine + (usage["usedSize"] ?? 0) + (usage["backingStorageSize"] ?? 0);
  };
  await tab.page.evaluate(async () => {
    const captioner = await lorapress.Captioner.load("/models/demo", { worker: false });
    await captioner.ready;
    const blob = await (await fetch("/images/scene-10000001.png")).blob();
    Object.assign(globalThis, {
      captionTimes: async (count: number) => {
        for (let i = 0; i < count; ++i) {
          await captioner.caption(blob, { numBeams: 1 + (i % 3) });
        }
      },
    });
  });
  const caption = (count: number): Promise<void> =>
    tab.page.evaluate(
      (times) =>
        (globalThis as unknown as { captionTimes: (n: number) => Promise<void> }).captionTimes(
          times,
        ),
      count,
    );
  await caption(6);
  const before = await bytes();
  await caption(50);
  const after = await bytes();
  console.log(`memory: ${before} bytes after 6 captions, ${after} after 56`);
  expect(after - before).toBeLessThan(1_000_000);
  await browser.close();
  await server.stop();
});

it("gives chunks back at once, though no garbage is collected", async () => {
  const browser = await launch();
  const server = await serve();
  const tab = await Tab.open(browser, server);
  const system = await browser.newBrowserCDPSession();
  const { processInfo } = await system.send("SystemInfo.getProcessInfo");
  const pids = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id);
  /** Bytes of the renderers that are no files. */
  const resident = (): number =>
    pids
      .map((pid) => readFileSync(`/proc/${pid}/status`, "utf8"))
      .reduce((sum, text) => sum + Number(/^RssAnon:\s*(\d+)/m.exec(text)?.[1]) * 1024, 0);
  const chunks = (count: number): Promise<void> =>
    tab.page.evaluate(async (times) => {
      for (let i = 0; i < times; ++i) {
        const bytes = new Uint8Array(8_000_000).fill(i);
        await crypto.subtle.digest("SHA-256", bytes);
        internals.freeNow(bytes);
        if (bytes.length > 0) {
          throw new Error("the page still has the chunk");
        }
      }
    }, count);
  await chunks(1);
  const before = resident();
  await chunks(20);
  const grown = resident() - before;
  console.log(`memory: ${grown} bytes more after 20 chunks of 8 MB`);
  expect(grown).toBeLessThan(50_000_000);
  await browser.close();
  await server.stop();
});
