// Files that arrive in memory of the engine's.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Fetch, folderUrl } from "../src/loading/fetch.js";
import { Loader } from "../src/loading/loader.js";
import { MemoryStore } from "../src/loading/memory_store.js";
import { PieceReader } from "../src/loading/piece_reader.js";
import { ProgressMeter } from "../src/loading/progress.js";
import type { ChunkStore } from "../src/loading/stores.js";
import { BIG, BIG_BYTES, CopyStore } from "./lib/big_file.js";
import { GRAPHS, NoiseFolder } from "./lib/folder.js";
import { type Fault, TestServer } from "./lib/server.js";

let folder: NoiseFolder;
let server: TestServer;
let store: ChunkStore;

beforeEach(async () => {
  folder = new NoiseFolder();
  folder.write({ ...GRAPHS, [BIG]: BIG_BYTES });
  server = await TestServer.start({ "/model/": folder.path });
  store = new CopyStore();
});
afterEach(() => server.stop());

const open = (parallel = 4, fetch?: Fetch): Promise<Loader> => {
  const meter = new ProgressMeter(() => {});
  const signal = new AbortController().signal;
  const settings = { store, meter, signal, retryDelayMs: 1, parallel, fetch };
  return Loader.open(folderUrl(`${server.origin}/model`), settings);
};

const expectBig = (bytes: Uint8Array): void =>
  expect(Buffer.compare(bytes, folder.files.get(BIG) ?? new Uint8Array())).toBe(0);

/** Faults for the answers about the big file, in the order in which they are asked for. */
function faults(...list: (Fault | undefined)[]): void {
  server.options = {
    fault: ({ path }) => (path.endsWith(BIG) ? list.shift() : undefined),
  };
}

describe("a body", () => {
  const content = (): Uint8Array<ArrayBuffer> => Uint8Array.from(folder.files.get(BIG) ?? []);
  const answer = async (body: ReadableStream): Promise<void> => {
    const fetch = async (url: string): Promise<Response> =>
      url.endsWith(BIG)
        ? new Response(body)
        : new Response(await (await globalThis.fetch(url)).arrayBuffer());
    expectBig(await (await open(1, fetch)).bytes(BIG));
  };

  it("is read into the same bytes again and again", async () => {
    folder.write({ ...GRAPHS, [BIG]: 2_000_000 });
    const [all, sizes] = [content(), new Set<number>()];
    let at = 0;
    const pull = (controller: ReadableByteStreamController): void => {
      const { byobRequest } = controller;
      const view = byobRequest?.view as Uint8Array<ArrayBuffer>;
      sizes.add(view.buffer.byteLength);
      const piece = all.subarray(at, at + Math.min(view.byteLength, 100_000));
      new Uint8Array(view.buffer, view.byteOffset).set(piece);
      at += piece.length;
      if (piece.length === 0) {
        controller.close();
      }
      byobRequest?.respond(piece.length);
    };
    await answer(new ReadableStream({ type: "bytes", pull }));
    expect([...sizes]).toEqual([2 ** 18]);
  });

  it("that cannot be read so is read as it comes", async () => {
    folder.write({ ...GRAPHS, [BIG]: 2_000_000 });
    const [all, at] = [content(), [0, 700_000, 700_001, 2_000_000]];
    const start = (controller: ReadableStreamDefaultController): void => {
      for (const [i, begin] of at.slice(0, -1).entries()) {
        controller.enqueue(all.slice(begin, at[i + 1]));
      }
      controller.close();
    };
    await answer(new ReadableStream({ start }));
  });
});

describe("in the engine's memory", () => {
  const pieces = new Set<Uint8Array>();
  const memory = {
    allocate: (bytes: number): Uint8Array => {
      const piece = new Uint8Array(bytes);
      pieces.add(piece);
      return piece;
    },
    free: (piece: Uint8Array): void => {
      pieces.delete(piece);
    },
  };
  const readBig = async (loader: Loader): Promise<void> => {
    pieces.clear();
    const file = await new PieceReader(loader).read(BIG, memory);
    expect(pieces.size).toBe(4);
    expectBig(file.read(0, file.size));
    file.drop(file.size);
    expect(pieces.size).toBe(0);
  };

  it("a file arrives chunk by chunk, from the network and from the store", async () => {
    await readBig(await open(2));
    server.clear();
    await readBig(await open(2));
    expect(server.requests.filter(({ path }) => path.endsWith(BIG))).toEqual([]);
  });

  it("it does so from a server without ranges, and after a flipped bit", async () => {
    server.options = { ranges: false };
    await readBig(await open());
    server.options = {};
    store = new CopyStore();
    faults({ flipByte: 5 }, undefined, { cutAfter: 1000 });
    await readBig(await open(1));
  });

  it("what a store holds in memory is not written over by what follows", async () => {
    store = new MemoryStore();
    const loader = await open(1);
    await readBig(loader);
    server.clear();
    await readBig(loader);
    expect(server.requests.filter(({ path }) => path.endsWith(BIG))).toEqual([]);
  });

  it("engines without such memory get one array", async () => {
    const file = await new PieceReader(await open()).read(BIG);
    expectBig(file.read(0, file.size));
    expect([...file.views(0, file.size)].length).toBe(1);
  });
});
