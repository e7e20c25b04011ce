// Fetching, verifying, storing: against a server that can do everything wrong.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ResilientStore } from "../src/loading/cache.js";
import { fileUrl, folderUrl } from "../src/loading/fetch.js";
import { Loader, type LoaderOptions } from "../src/loading/loader.js";
import { CHUNK_BYTES } from "../src/loading/manifest.js";
import { MemoryStore } from "../src/loading/memory_store.js";
import { type LoadProgress, ProgressMeter } from "../src/loading/progress.js";
import type { ChunkStore } from "../src/loading/stores.js";
import { BIG, BIG_BYTES, CopyStore } from "./lib/big_file.js";
import { GRAPHS, NoiseFolder } from "./lib/folder.js";
import { randomIntegers } from "./lib/random.js";
import { type Fault, type Request, TestServer } from "./lib/server.js";

let folder: NoiseFolder;
let server: TestServer;
let store: ChunkStore;
let seen: LoadProgress[];

beforeEach(async () => {
  folder = new NoiseFolder();
  folder.write({ ...GRAPHS, [BIG]: BIG_BYTES });
  server = await TestServer.start({ "/model/": folder.path });
  store = new CopyStore();
  seen = [];
});
afterEach(() => server.stop());

const open = (options: Partial<LoaderOptions> = {}): Promise<Loader> => {
  const meter = new ProgressMeter((progress) => seen.push(progress));
  const signal = new AbortController().signal;
  const settings = { store, meter, signal, retryDelayMs: 1, ...options };
  return Loader.open(folderUrl(`${server.origin}/model`), settings);
};

const expectBig = (bytes: Uint8Array): void =>
  expect(Buffer.compare(bytes, folder.files.get(BIG) ?? new Uint8Array())).toBe(0);

const ofBig = (): Request[] => server.requests.filter(({ path }) => path.endsWith(BIG));
const sum = (requests: readonly Request[]): number =>
  requests.reduce((bytes, request) => bytes + request.bytes, 0);

/** Faults for the answers about the big file, in the order in which they are asked for. */
function faults(...list: (Fault | undefined)[]): void {
  server.options = {
    ...server.options,
    fault: ({ path }) => (path.endsWith(BIG) ? list.shift() : undefined),
  };
}

describe("with ranges", () => {
  it("fetches every byte once, in parallel chunks", async () => {
    expectBig(await (await open()).bytes(BIG));
    const ranges = ofBig().map(({ range }) => range);
    expect(ranges.sort()).toEqual(
      [
        `bytes=0-${CHUNK_BYTES - 1}`,
        `bytes=${2 * CHUNK_BYTES}-${3 * CHUNK_BYTES - 1}`,
        `bytes=${3 * CHUNK_BYTES}-${BIG_BYTES - 1}`,
        `bytes=${CHUNK_BYTES}-${2 * CHUNK_BYTES - 1}`,
      ].sort(),
    );
    expect(sum(ofBig())).toBe(BIG_BYTES);
  });

  it("asks for small files whole", async () => {
    expect([...(await (await open()).bytes("tokenizer.json"))]).toEqual([
      ...(folder.files.get("tokenizer.json") ?? []),
    ]);
    expect(server.requests.map(({ range }) => range)).toEqual([undefined, undefined]);
  });

  it("goes on where a connection broke, at ten random places", async () => {
    const random = randomIntegers();
    const cuts = Array.from({ length: 10 }, () => ({ cutAfter: 1 + random(CHUNK_BYTES - 1) }));
    faults(...cuts);
    expectBig(await (await open()).bytes(BIG));
    // What the server sent into a broken connection may be lost, but no finished chunk comes twice.
    const starts = ofBig().map(({ range }) => Number(range?.match(/\d+/)?.[0]));
    expect(new Set(starts).size).toBe(starts.length);
    expect(starts.length).toBeGreaterThan(4);
  });

  it("keeps finished chunks over a load that failed", async () => {
    const dead = { cutAfter: 0 };
    faults(undefined, undefined, ...Array<Fault>(100).fill(dead));
    const failed = (await open({ retries: 2, parallel: 1 })).bytes(BIG);
    await expect(failed).rejects.toMatchObject({ code: "io" });
    server.clear();
    faults();
    expectBig(await (await open()).bytes(BIG));
    expect(sum(ofBig())).toBe(BIG_BYTES - 2 * CHUNK_BYTES);
  });

  it("tries again what a server refuses for a while", async () => {
    faults({ status: 503 }, { status: 429 }, { status: 500 });
    expectBig(await (await open()).bytes(BIG));
    expect(ofBig().length).toBe(7);
  });
});

describe("without ranges", () => {
  beforeEach(() => {
    server.options = { ranges: false };
  });

  it("streams the file once", async () => {
    expectBig(await (await open({ parallel: 1 })).bytes(BIG));
    expect(ofBig().map(({ range }) => range)).toEqual([
      expect.stringMatching(/^bytes=/),
      undefined,
    ]);
  });

  it("begins again after a break and keeps what was verified", async () => {
    faults(undefined, { cutAfter: 2 * CHUNK_BYTES + 99 }, { cutAfter: 5 });
    expectBig(await (await open({ parallel: 1 })).bytes(BIG));
    expect(ofBig().length).toBe(4);
  });

  it("finds a flipped bit and fetches again, then gives up", async () => {
    faults(undefined, { flipByte: CHUNK_BYTES + 7 });
    expectBig(await (await open({ parallel: 1 })).bytes(BIG));
    store = new CopyStore();
    faults(undefined, { flipByte: 3 }, { flipByte: 3 });
    const bad = (await open({ parallel: 1 })).bytes(BIG);
    await expect(bad).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringMatching(/weights\.bin.*chunk 1 of 4.*SHA-256/),
    });
  });
});

describe("integrity", () => {
  it("fetches a chunk with a flipped bit again", async () => {
    faults({ flipByte: 5 });
    expectBig(await (await open({ parallel: 1 })).bytes(BIG));
    expect(ofBig().length).toBe(5);
    expect(seen.at(-1)?.loadedBytes).toBe(BIG_BYTES);
  });

  it("gives a clear error when it stays so", async () => {
    const flipped = { flipByte: BIG_BYTES - 1 };
    faults(...Array<Fault>(10).fill(flipped));
    await expect((await open()).bytes(BIG)).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringMatching(
        /weights\.bin \(chunk 4 of 4\): SHA-256 is .*lorapress\.json says/,
      ),
    });
  });

  it("does not trust the store", async () => {
    const loader = await open();
    await loader.bytes(BIG);
    const [first, second] = loader.manifest.files.get(BIG)?.sha256 ?? [];
    const spoilt = (await store.get(first ?? "")) as Uint8Array;
    spoilt[77] = (spoilt[77] ?? 0) ^ 1;
    await store.put(second ?? "", new Uint8Array(3));
    server.clear();
    expectBig(await (await open()).bytes(BIG));
    expect(ofBig().length).toBe(2);
  });

  it("sees a file of another size", async () => {
    const path = join(folder.path, BIG);
    const content = readFileSync(path);
    writeFileSync(path, content.subarray(0, 100));
    await expect((await open({ retries: 1 })).bytes(BIG)).rejects.toMatchObject({
      code: "invalid_file",
    });
    writeFileSync(path, Buffer.concat([content, content]));
    await expect((await open()).bytes(BIG)).rejects.toMatchObject({ code: "invalid_file" });
    writeFileSync(join(folder.path, "tokenizer.json"), "x".repeat(11));
    await expect((await open()).bytes("tokenizer.json")).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringContaining("more than 10 bytes"),
    });
  });
});

describe("as a stream", () => {
  const gather = async (loader: Loader): Promise<Uint8Array[]> => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of loader.chunks(BIG)) {
      chunks.push(chunk);
    }
    return chunks;
  };

  it("comes in verified chunks, in order, from the network and from the store", async () => {
    faults({ flipByte: 5 }, { cutAfter: 77 });
    for (const requests of [6, 0]) {
      server.clear();
      const chunks = await gather(await open({ parallel: 1 }));
      expect(chunks.map(({ length }) => length)).toEqual([
        ...Array<number>(3).fill(CHUNK_BYTES),
        BIG_BYTES - 3 * CHUNK_BYTES,
      ]);
      expectBig(Buffer.concat(chunks));
      expect(ofBig().length).toBe(requests);
    }
  });

  it("fetches no more than asked ahead, and nothing before it is asked", async () => {
    const loader = await open();
    const chunks = loader.chunks(BIG, 2);
    expect(ofBig()).toEqual([]);
    await chunks.next();
    await expect.poll(() => sum(ofBig())).toBe(2 * CHUNK_BYTES); // they go on by themselves ...
    await chunks.return();
    expect(ofBig().length).toBe(2); // ... and ask for no more
  });

  it("comes from a server without ranges, too, and ends with the error", async () => {
    server.options = { ranges: false };
    expectBig(Buffer.concat(await gather(await open())));
    store = new CopyStore();
    server.options = {};
    faults(...Array<Fault>(10).fill({ flipByte: CHUNK_BYTES + 1 }));
    await expect(gather(await open())).rejects.toMatchObject({ code: "invalid_file" });
  });
});

describe("the second visit", () => {
  it("makes one conditional request, or none at all", async () => {
    await (await open()).bytes(BIG);
    for (const update of ["check", "stored"] as const) {
      server.clear();
      expectBig(await (await open({ update })).bytes(BIG));
      const paths = server.requests.map(({ path }) => path);
      expect(paths).toEqual(update === "check" ? ["/model/lorapress.json"] : []);
    }
    expect(seen.at(-1)).toMatchObject({ storedBytes: BIG_BYTES, loadedBytes: BIG_BYTES });
  });

  it("works offline", async () => {
    await (await open()).bytes(BIG);
    server.options = { fault: () => ({ status: 503 }) };
    expectBig(await (await open()).bytes(BIG));
    expect(seen.some(({ note }) => note?.includes("does not answer"))).toBe(true);
  });

  it("takes what changed, shares what did not, drops what is stale", async () => {
    const first = await open();
    await first.bytes(BIG);
    const old = folder.files.get(BIG)?.slice() ?? new Uint8Array();
    const stale = first.manifest.files.get("tokenizer.json")?.sha256[0] ?? "";
    await first.bytes("tokenizer.json");
    expect(await store.get(stale)).toBeDefined();
    folder.write({ ...GRAPHS, [BIG]: BIG_BYTES }, 2);
    // The new version shares its first three chunks with the old one.
    const mixed = folder.files.get(BIG) ?? new Uint8Array();
    mixed.set(old.subarray(0, 3 * CHUNK_BYTES));
    writeFileSync(join(folder.path, BIG), mixed);
    const manifest = JSON.parse(readFileSync(join(folder.path, "lorapress.json"), "utf8"));
    const entry = manifest.files.find(({ path }: { path: string }) => path === BIG);
    entry.sha256.splice(0, 3, ...(first.manifest.files.get(BIG)?.sha256.slice(0, 3) ?? []));
    writeFileSync(join(folder.path, "lorapress.json"), JSON.stringify(manifest));
    server.clear();
    const second = await open();
    expectBig(await second.bytes(BIG));
    expect(sum(ofBig())).toBe(BIG_BYTES - 3 * CHUNK_BYTES);
    expect(await store.get(stale)).toBeUndefined();
  });
});

describe("a store that refuses", () => {
  it("is left for memory, once said, and what it holds is still read", async () => {
    const inner = new CopyStore();
    let room = 2;
    inner.put = (digest, bytes) => {
      room -= 1;
      return room < 0
        ? Promise.reject(new DOMException("no room", "QuotaExceededError"))
        : MemoryStore.prototype.put.call(inner, digest, bytes.slice());
    };
    const refusals: unknown[] = [];
    store = new ResilientStore(inner, (error) => refusals.push(error));
    expectBig(await (await open()).bytes(BIG));
    expect(refusals.length).toBe(1);
    expect(store.persistent).toBe(false);
    server.clear();
    store = new ResilientStore(inner, () => {});
    expectBig(await (await open()).bytes(BIG));
    expect(ofBig().length).toBe(2);
  });

  it("that fails at everything is as good as none", async () => {
    const broken = new Proxy({} as ChunkStore, {
      get: () => () => Promise.reject(new Error("closed")),
    });
    const refusals: unknown[] = [];
    store = new ResilientStore(broken, (error) => refusals.push(error));
    expectBig(await (await open()).bytes(BIG));
    expect(refusals.length).toBe(1);
  });
});

describe("where it goes", () => {
  it("follows no redirect", async () => {
    const other = await TestServer.start({ "/": folder.path });
    server.options = { fault: ({ path }) => ({ redirect: `${other.origin}${path}` }) };
    await expect(open()).rejects.toMatchObject({ code: "unsupported" });
    server.options = {};
    faults({ redirect: `${other.origin}/${BIG}` });
    await expect((await open()).bytes(BIG)).rejects.toMatchObject({ code: "unsupported" });
    expect(other.requests).toEqual([]);
    await other.stop();
  });

  it("names folders in one way and stays inside", () => {
    for (const url of [
      "http://a/m",
      "http://a/m/",
      "http://a/m/lorapress.json",
      "http://a/m?x#y",
    ]) {
      expect(folderUrl(url).href).toBe("http://a/m/");
    }
    expect(folderUrl("/m", "https://a/page/").href).toBe("https://a/m/");
    for (const url of ["data:,x", "ftp://a/m", "http://"]) {
      expect(() => folderUrl(url)).toThrow(expect.objectContaining({ code: "invalid_argument" }));
    }
    // In Node a path, too.
    expect(folderUrl("/a b/m").href).toBe("file:///a%20b/m/");
    expect(folderUrl("m").href).toBe(`${pathToFileURL("m").href}/`);
    const base = new URL("http://a/m/");
    expect(fileUrl(base, "onnx/x.onnx")).toBe("http://a/m/onnx/x.onnx");
    for (const path of ["../x", "/x", "//b/x", "http://b/x", "a/../../x", "%2e%2e/x", "\\x"]) {
      expect(() => fileUrl(base, path), path).toThrow(
        expect.objectContaining({ code: "invalid_file" }),
      );
    }
  });

  it("says what is missing", async () => {
    await expect(Loader.open(folderUrl(`${server.origin}/none`), options())).rejects.toMatchObject({
      code: "not_found",
    });
    const loader = await open();
    await expect(loader.bytes("other")).rejects.toMatchObject({ code: "not_found" });
  });
});

function options(): LoaderOptions {
  return { store, meter: new ProgressMeter(undefined), signal: new AbortController().signal };
}

it("stops when it is aborted, with the reason", async () => {
  const controller = new AbortController();
  const loader = await open({ signal: controller.signal });
  server.options = {
    fault: () => {
      controller.abort(new Error("enough"));
      return { wait: new Promise(() => {}) };
    },
  };
  await expect(loader.bytes(BIG)).rejects.toThrow("enough");
  expect(ofBig().length).toBeGreaterThan(0);
});

it("cuts a connection that stalls and makes a new one", async () => {
  faults({ wait: new Promise(() => {}) });
  expectBig(await (await open({ stallMs: 4000, parallel: 1 })).bytes(BIG));
});
