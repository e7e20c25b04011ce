// What both persistent stores promise, and which one a page gets, in Chromium.
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { launch, serve, Tab } from "./lib/browser.js";
import type { TestServer } from "./lib/server.js";

const NO_WRITABLE = "delete FileSystemFileHandle.prototype.createWritable";
const REFUSED = "navigator.storage.getDirectory = () => Promise.reject(new Error('private'))";

let browser: Browser;
let server: TestServer;
beforeAll(async () => {
  browser = await launch();
  server = await serve({ isolated: true }); // so that there is memory that threads share
});
afterAll(async () => {
  await browser.close();
  await server.stop();
});

/** The names of the files that the origin has in the package's folder. */
const files = (tab: Tab): Promise<string[]> =>
  tab.page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const names: string[] = [];
    for await (const name of (await root.getDirectoryHandle("lorapress")).keys()) {
      names.push(name);
    }
    return names.sort();
  });

for (const [name, script] of [
  ["OpfsStore", undefined],
  ["IndexedDbStore", NO_WRITABLE],
] as const) {
  describe(name, () => {
    let tab: Tab;
    beforeEach(async () => {
      await tab?.close();
      tab = await Tab.open(browser, server, script);
    });
    afterAll(() => tab.close());

    it("is what a page gets", async () => {
      const kind = await tab.page.evaluate(async () => {
        const resilient = await internals.openStore(() => {});
        const { store } = resilient as unknown as { store: unknown };
        return store instanceof internals.OpfsStore ? "OpfsStore" : "IndexedDbStore";
      });
      expect(kind).toBe(name);
    });

    it("keeps chunks over visits, also views and what threads share, and forgets them", async () => {
      await tab.page.evaluate(async () => {
        const store = await internals.openStore((error) => {
          throw error;
        });
        const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i % 251);
        await store.put("a", bytes);
        await store.put("b", bytes.subarray(7, 20));
        const shared = new Uint8Array(new SharedArrayBuffer(4));
        shared.set([1, 2, 3, 4]);
        await store.put("c", shared);
        await store.put("b", bytes.subarray(8, 12)); // another tab does so, too
        await store.remove("never there");
      });
      await Tab.visit(tab.page, server);
      const found = await tab.page.evaluate(async () => {
        const store = await internals.openStore(() => {});
        const sum = (await store.get("a"))?.reduce((total, byte) => total + byte, 0);
        const [b, c] = [(await store.get("b"))?.join(), (await store.get("c"))?.join()];
        await store.remove("a");
        return [sum, b, c, await store.get("a"), await store.get("never there")];
      });
      const sum = Array.from({ length: 300_000 }, (_, i) => i % 251).reduce((a, b) => a + b, 0);
      expect(found).toEqual([sum, "8,9,10,11", "1,2,3,4", undefined, undefined]);
    });

    it("drops what no folder names any more", async () => {
      const left = await tab.page.evaluate(async () => {
        const store = await internals.openStore(() => {});
        for (const digest of ["a", "b", "c", "d"]) {
          await store.put(digest, Uint8Array.of(1));
        }
        await store.writeFolder("one", { manifest: "{}", digests: ["a", "b"] });
        await store.put("c", Uint8Array.of(1));
        await store.writeFolder("two", { manifest: "{}", digests: ["b", "c"] });
        await store.writeFolder("one", { manifest: "{2}", digests: ["b"] });
        const there = [];
        for (const digest of ["a", "b", "c", "d"]) {
          there.push((await store.get(digest)) !== undefined);
        }
        const record = await store.readFolder("one");
        await store.clear();
        return [there, record, await store.readFolder("one"), await store.get("b")];
      });
      const record = { manifest: "{2}", digests: ["b"] };
      expect(left).toEqual([[false, true, true, false], record, undefined, undefined]);
    });
  });
}

describe("OpfsStore", () => {
  it("takes what a closed tab began to write for missing, and lets another tab write", async () => {
    const tab = await Tab.open(browser, server);
    const found = await tab.page.evaluate(async () => {
      const store = await internals.openStore(() => {});
      const root = await navigator.storage.getDirectory();
      const folder = await root.getDirectoryHandle("lorapress");
      const handle = await folder.getFileHandle("a", { create: true });
      const other = await handle.createWritable(); // as another tab
      await other.write(Uint8Array.of(9));
      const before = await store.get("a");
      await store.put("a", Uint8Array.of(1, 2));
      await store.writeFolder("one", { manifest: "{}", digests: [] }); // "a" cannot go yet
      const meanwhile = await store.get("a");
      await other.close();
      return [before, meanwhile?.join(), (await store.get("a"))?.join()];
    });
    expect(found).toEqual([undefined, "1,2", "9"]);
    await tab.close();
  });

  it("leaves nothing of a chunk that did not fit", async () => {
    const tab = await Tab.open(browser, server);
    const session = await tab.context.newCDPSession(tab.page);
    const { origin } = server;
    await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1_000_000 });
    const notes = await tab.page.evaluate(async () => {
      const said: string[] = [];
      const store = await internals.openStore((error) => said.push((error as Error).name));
      await store.put("small", new Uint8Array(1000));
      await store.put("large", new Uint8Array(4_000_000));
      said.push(`${(await store.get("large"))?.length}`); // from memory
      return said;
    });
    // Chromium's write sometimes ends before it is told why.
    expect(notes).toEqual([expect.stringMatching(/^(Quota|Abort)/), "4000000"]);
    expect(await files(tab)).toEqual(["small"]);
    await tab.close();
  });

  it("is not taken where it is refused", async () => {
    const tab = await Tab.open(browser, server, REFUSED);
    const notes = await tab.page.evaluate(async () => {
      const said: string[] = [];
      const store = await internals.openStore((error) => said.push(String(error)));
      return [store.persistent, ...said];
    });
    expect(notes).toEqual([true]);
    await tab.close();
  });
});
