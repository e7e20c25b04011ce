// The project's own engine as the runtime uses it: what it holds, parts that are freed, and graphs that it refuses.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { Engine, EngineRequest, NativeBuild } from "../src/engine/engine_api.js";
import { engineFiles } from "../src/engine/engine_files.js";
import { FallbackEngine } from "../src/engine/fallback_engine.js";
import type { NativeEngine } from "../src/engine/native_engine.js";
import { NativeInstance } from "../src/engine/native_instance.js";
import { startNative } from "../src/engine/native_start.js";
import { LorapressError } from "../src/errors.js";
import { Captioner, type LoadOptions } from "../src/index.js";
import { LocalBackend } from "../src/local.js";
import { readPng } from "./lib/goldens.js";
import { pressed, ROOT } from "./lib/program.js";
import { TestServer } from "./lib/server.js";

const IMAGES = join(ROOT, "models/demo/images");
const FILE = "scene-10000002.png";
const IMAGE = readPng(join(IMAGES, FILE));
const TEXT: string = JSON.parse(readFileSync(join(IMAGES, "captions.json"), "utf8"))[FILE];
const NEVER = new AbortController().signal;

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({ "/": pressed("") });
});
afterAll(() => server.stop());
afterEach(() => vi.restoreAllMocks());

/** A captioner in this thread that loads, and its engine once there is one. */
async function begin(options: LoadOptions = {}): Promise<[LocalBackend, Engine[]]> {
  const found: Engine[] = [];
  const start = async (request: EngineRequest): Promise<Engine> => {
    found.push(await startNative(request, engineFiles()));
    return found[0] as Engine;
  };
  const all = { engine: "native", dtype: "q8", ...options } as const;
  return [await LocalBackend.load(`${server.origin}/demo-dtypes`, all, start), found];
}

/** One that is loaded, and its engine. */
async function open(options: LoadOptions = {}): Promise<[LocalBackend, NativeEngine]> {
  const [backend, found] = await begin(options);
  await backend.ready;
  return [backend, found[0] as NativeEngine];
}

const captionOf = (backend: LocalBackend, options = {}) =>
  backend.run({ kind: "pixels", pixels: IMAGE }, options, NEVER, () => {});

describe("its memory", () => {
  it("is the same after 3 and after 53 captions, greedy and with beams", async () => {
    const [backend, engine] = await open();
    const many = async (count: number): Promise<number> => {
      for (let i = 0; i < count; ++i) {
        expect((await captionOf(backend, { numBeams: 1 + (i % 3) })).text).toBe(TEXT);
      }
      return engine.held;
    };
    const before = await many(3);
    expect(before).toBeGreaterThan(1e6);
    expect(await many(50)).toBe(before);
    await backend.dispose();
  });

  it("holds a model once while it is loaded", async () => {
    const memories: WebAssembly.Memory[] = [];
    const load = vi.spyOn(NativeInstance.prototype, "load");
    const [backend, engine] = await open();
    for (const { exports } of load.mock.contexts as unknown as { exports: NativeExportsLike }[]) {
      memories.push(exports.memory);
    }
    const peak = memories[0]?.buffer.byteLength ?? 0;
    const { files } = JSON.parse(
      readFileSync(join(pressed("demo-dtypes"), "lorapress.json"), "utf8"),
    );
    const bytes = files
      .filter(({ path }: { path: string }) => path.endsWith("_quantized.onnx"))
      .reduce((sum: number, file: { bytes: number }) => sum + file.bytes, 0);
    expect(engine.held).toBeGreaterThan(bytes / 2);
    expect(peak).toBeLessThan(1.25 * bytes + 6e6); // the least that there is, and a buffer
    await backend.dispose();
  });

  it("is given back after each image where the encoder is not kept, and the next one loads it again", async () => {
    const [whole, kept] = await open();
    const [backend, engine] = await open({ keepEncoder: false });
    expect((await captionOf(whole)).text).toBe(TEXT);
    for (let i = 0; i < 2; ++i) {
      expect((await captionOf(backend)).text).toBe(TEXT);
      expect(engine.held).toBeLessThan(kept.held * 0.9);
    }
    await whole.dispose();
    await backend.dispose();
  });
});

describe("an encoder that is not kept", () => {
  it("is gone when the decoder comes, if an image waits; later images have one further instance", async () => {
    const { load } = NativeInstance.prototype;
    const held: [part: number, before: number, after: number][] = [];
    vi.spyOn(NativeInstance.prototype, "load").mockImplementation(function (
      this: NativeInstance,
      part,
      files,
    ) {
      const before = this.held;
      load.call(this, part, files);
      held.push([part, before, this.held]);
    });
    const started = vi.spyOn(NativeInstance, "start");
    const [backend] = await begin({ keepEncoder: false });
    expect((await captionOf(backend)).text).toBe(TEXT);
    const [[first, , weights], [second, left]] = held as [
      [number, number, number],
      (typeof held)[0],
    ];
    expect([first, second]).toEqual([0, 2]);
    expect(left).toBeLessThan(weights / 4); // the image
    expect(started).toHaveBeenCalledTimes(1);
    for (let i = 0; i < 2; ++i) {
      expect((await captionOf(backend)).text).toBe(TEXT);
      expect(started).toHaveBeenCalledTimes(2);
    }
    await backend.dispose();
  });
});

interface NativeExportsLike {
  readonly memory: WebAssembly.Memory;
}

describe("a browser without relaxed SIMD", () => {
  it("gets the other build, which says the same", async () => {
    const builds: string[] = [];
    const files = engineFiles();
    const wasm = new Proxy(files.native.wasm, {
      get: (all, name) => {
        builds.push(String(name));
        return all[name as NativeBuild];
      },
    });
    vi.spyOn(WebAssembly, "validate").mockReturnValue(false);
    const start = (request: EngineRequest): Promise<Engine> =>
      startNative(request, { ...files, native: { ...files.native, wasm } });
    const options = { engine: "native", dtype: "q8" } as const;
    const backend = await LocalBackend.load(`${server.origin}/demo-dtypes`, options, start);
    expect((await captionOf(backend)).text).toBe(TEXT);
    expect(new Set(builds)).toEqual(new Set(["simd128"]));
    await backend.dispose();
  });
});

describe("a graph that it refuses", () => {
  const refuse = (role: number): void => {
    const load = NativeInstance.prototype.load;
    vi.spyOn(NativeInstance.prototype, "load").mockImplementation(function (
      this: NativeInstance,
      part,
      files,
    ) {
      if (part === role) {
        throw new LorapressError("unsupported", "decoder.onnx: operator Foo");
      }
      load.call(this, part, files);
    });
  };

  for (const role of [0, 2]) {
    it(`is run by ONNX Runtime, which is said (part ${role})`, async () => {
      refuse(role);
      const notes: string[] = [];
      const captioner = await Captioner.load(`${server.origin}/demo`, {
        cache: false,
        onProgress: ({ note }) => note !== undefined && notes.push(note),
      });
      // At once: an image that the own engine has encoded goes to the other.
      expect((await captioner.caption(IMAGE)).text).toBe(TEXT);
      expect((await captioner.caption(IMAGE)).text).toBe(TEXT);
      expect(notes).toEqual(["ONNX Runtime runs this model: decoder.onnx: operator Foo"]);
      expect(captioner.info.engine).toBe("native");
      await captioner.dispose();
    });
  }

  it("is an error where this engine is asked for", async () => {
    refuse(2);
    const captioner = await Captioner.load(`${server.origin}/demo`, { engine: "native" });
    await expect(captioner.ready).rejects.toThrow("decoder.onnx: operator Foo");
    await captioner.dispose();
  });

  it("does not stop parts that arrive at the same time", async () => {
    const log: string[] = [];
    let fallen = (): void => {};
    const refused = new LorapressError("unsupported", "no");
    const own = {
      read: async ({ role }: { role: string }) => {
        if (role === "decoder") {
          await new Promise<void>((resolve) => {
            fallen = resolve;
          });
          throw refused;
        }
        return async () => {
          throw refused;
        };
      },
      dispose: async () => log.push("disposed"),
    };
    const other = {
      read:
        async ({ role }: { role: string }) =>
        async () =>
          log.push(role),
    };
    const notes: string[] = [];
    const start = async () => other as unknown as Engine;
    const engine = new FallbackEngine(own as unknown as Engine, start, (text) => notes.push(text));
    const source = (role: string) => ({ role }) as never;
    const [encoder, decoder] = [engine.read(source("encoder")), engine.read(source("decoder"))];
    await (await encoder)();
    fallen();
    await (await decoder)();
    expect(log).toEqual(["disposed", "encoder", "decoder"]);
    expect(notes.length).toBe(1);
  });

  it("does not lose images and sequences of its own", async () => {
    const alive = new Set<string>();
    const parts: string[] = [];
    const fake = (name: string): Engine =>
      ({
        read:
          async ({ role }: { role: string }) =>
          async () => {
            if (name === "own" && alive.has("own image")) {
              throw new LorapressError("unsupported", "no");
            }
            parts.push(`${name} ${role}`);
          },
        unload: async (role: string) => parts.push(`${name} -${role}`),
        encode: async () => {
          alive.add(`${name} image`);
          return { dispose: () => alive.delete(`${name} image`) };
        },
        prefill: async () => [{ rows: 1, dispose: () => {} }, new Float32Array(1)],
        dispose: async () => {},
      }) as unknown as Engine;
    const engine = new FallbackEngine(
      fake("own"),
      async () => fake("other"),
      () => {},
    );
    const source = (role: string) => ({ role }) as never;
    await (await engine.read(source("encoder")))();
    const load = await engine.read(source("decoder"));
    const image = await engine.encode(new Float32Array(1));
    expect([...alive]).toEqual(["own image"]);
    await engine.unload("encoder"); // which is not kept
    await load();
    await engine.prefill(image, [1], 1);
    expect([...alive]).toEqual(["other image"]);
    expect(parts).toEqual([
      "own encoder",
      "own -encoder",
      "other decoder",
      "other encoder",
      "other -encoder",
    ]);
    image.dispose();
    expect(alive.size).toBe(0);
  });
});
