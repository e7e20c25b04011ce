// lorapress/transformers under the unmodified transformers.js in Node: what it says, what it asks for, and
// what it does when something goes wrong.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { MemoryStore } from "../src/loading/memory_store.js";
import { type Installed, type InstallOptions, install } from "../src/transformers.js";
import { loadNodeBuild, VERSIONS } from "./lib/clients.js";
import { GRAPHS, NoiseFolder } from "./lib/folder.js";
import { press, pressed, ROOT } from "./lib/program.js";
import { type Request, TestServer } from "./lib/server.js";

const IMAGES = join(ROOT, "models/demo/images");
const CAPTIONS = JSON.parse(readFileSync(join(IMAGES, "captions.json"), "utf8"));
const IMAGE = "scene-10000001.png";
const ENCODER = "onnx/encoder_model.onnx";

/** As IndexedDB: outlives a load. */
class Kept extends MemoryStore {
  override put(digest: string, bytes: Uint8Array): Promise<void> {
    return super.put(digest, bytes.slice());
  }
  override release(): Promise<void> {
    return Promise.resolve();
  }
}

const folder = pressed("demo");
const library = await loadNodeBuild();
const { env } = library;
const untouched = { ...env };
let server: TestServer;
let store: Kept;
let installed: Installed;

beforeAll(async () => {
  expect(env.version).toBe(VERSIONS.v4);
  server = await TestServer.start({ "/models/demo/": folder, "/models/": pressed("") });
});
afterAll(() => server.stop());
beforeEach(() => {
  server.options = {};
  server.clear();
  store = new Kept();
});
afterEach(() => {
  installed.restore();
  expect(env).toEqual(untouched);
});

const use = async (options: InstallOptions = {}, name = "demo"): Promise<void> => {
  const url = `${server.origin}/models/${name}`;
  installed = await install(env, url, { store, retryDelayMs: 1, retries: 2, ...options });
};
const open = (options = {}) => library.pipeline("image-to-text", installed.model, options);
const say = async (options = {}): Promise<string> => {
  const pipe = await open(options);
  const [{ generated_text }] = await pipe(join(IMAGES, IMAGE));
  await pipe.dispose();
  return generated_text;
};
const about = (part: string): Request[] =>
  server.requests.filter(({ path }) => path.endsWith(part));

it("captions; the second load asks for the manifest only, or for nothing", async () => {
  await use();
  expect(await say()).toBe(CAPTIONS[IMAGE]);
  const { files } = JSON.parse(readFileSync(join(folder, "lorapress.json"), "utf8"));
  const listed = files.map(({ path }: { path: string }) => path);
  const asked = server.requests.map(({ path }) => path.slice("/models/demo/".length));
  expect(asked.filter((path) => !["lorapress.json", ...listed].includes(path))).toEqual([]);
  expect(new Set(asked).size).toBe(asked.length); // once
  expect(asked).toEqual(expect.arrayContaining(["tokenizer.json", ENCODER]));
  server.clear();
  expect(await say()).toBe(CAPTIONS[IMAGE]); // still installed
  expect(server.requests).toEqual([]);
  installed.restore();
  await use();
  expect(await say()).toBe(CAPTIONS[IMAGE]);
  expect(server.requests.map(({ path }) => path)).toEqual(["/models/demo/lorapress.json"]);
  installed.restore();
  server.clear();
  await use({ update: "stored" });
  expect(await say()).toBe(CAPTIONS[IMAGE]);
  expect(server.requests).toEqual([]);
});

it("tells the client's own progress", async () => {
  await use();
  const seen = new Map<string, { loaded: number; total: number }>();
  const progress_callback = (event: {
    status: string;
    file: string;
    loaded: number;
    total: number;
  }): void => {
    if (event.status === "progress") {
      seen.set(event.file, event);
    }
  };
  expect(await say({ progress_callback })).toBe(CAPTIONS[IMAGE]);
  const bytes = readFileSync(join(folder, "tokenizer.json")).length;
  expect(seen.get("tokenizer.json")).toMatchObject({ loaded: bytes, total: bytes });
});

it("goes on where a connection broke", async () => {
  const cuts = [1_000_000, 2_000_000];
  server.options = {
    fault: ({ path }) => {
      const cutAfter = path.endsWith(ENCODER) ? cuts.shift() : undefined;
      return cutAfter === undefined ? undefined : { cutAfter, gently: true };
    },
  };
  await use();
  expect(await say()).toBe(CAPTIONS[IMAGE]);
  const starts = about(ENCODER).map(({ range }) => Number(range?.match(/\d+/)?.[0] ?? 0));
  expect(starts.length).toBe(3);
  expect(starts[2]).toBeGreaterThan(starts[1] ?? 0);
  expect(starts[1]).toBeGreaterThan(0);
});

it("finds a flipped bit and fetches again, then says so", async () => {
  let flips = 1;
  server.options = {
    fault: ({ path }) => (path.endsWith(ENCODER) && flips-- > 0 ? { flipByte: 1234 } : undefined),
  };
  await use();
  expect(await say()).toBe(CAPTIONS[IMAGE]);
  expect(about(ENCODER).length).toBe(2);
  store = new Kept();
  installed.restore();
  await use();
  flips = Number.POSITIVE_INFINITY;
  await expect(open()).rejects.toMatchObject({
    code: "invalid_file",
    message: expect.stringMatching(/encoder_model\.onnx.*SHA-256 is .*lorapress\.json says/),
  });
  const progress_callback = (): void => {};
  await expect(open({ progress_callback })).rejects.toMatchObject({ code: "invalid_file" });
});

it("does not trust the store", async () => {
  await use();
  expect(await say()).toBe(CAPTIONS[IMAGE]);
  const { files } = JSON.parse(readFileSync(join(folder, "lorapress.json"), "utf8"));
  const { sha256 } = files.find(({ path }: { path: string }) => path === ENCODER);
  const stored = (await store.get(sha256[0])) as Uint8Array;
  stored[99] = (stored[99] ?? 0) ^ 1;
  server.clear();
  expect(await say()).toBe(CAPTIONS[IMAGE]);
  expect(server.requests.map(({ path }) => path)).toEqual([`/models/demo/${ENCODER}`]);
});

it("gives a server's failure as it is, and nothing unverified instead", async () => {
  await use();
  server.options = { fault: () => ({ status: 503 }) };
  await expect(open()).rejects.toMatchObject({ code: "io" });
  server.options = {};
  await expect(install(env, `${server.origin}/none`, { store, retries: 0 })).rejects.toMatchObject({
    code: "not_found",
  });
});

it("brings external data, and the files of a server without ranges", async () => {
  server.options = { ranges: false };
  await use({}, "demo-external");
  expect(await say()).toBe(CAPTIONS[IMAGE]);
  expect(about(".onnx_data").length).toBeGreaterThan(0);
});

it("brings the llava layout, too", async () => {
  press("demo-llava", join(ROOT, "models/demo"), ["--bundle", "llava"]);
  await use({}, "demo-llava");
  const processor = await library.AutoProcessor.from_pretrained(installed.model);
  const model = await library.AutoModelForImageTextToText.from_pretrained(installed.model);
  const inputs = await processor(await library.RawImage.read(join(IMAGES, IMAGE)), "<image>");
  const ids = await model.generate({ ...inputs, max_new_tokens: 30 });
  const [text] = processor.batch_decode(ids.slice(null, [inputs.input_ids.dims[1], null]), {
    skip_special_tokens: true,
  });
  expect(text).toBe(CAPTIONS[IMAGE]);
  expect(server.requests.filter(({ status }) => status !== 200 && status !== 206)).toEqual([]);
  await model.dispose();
});

it("replaces a stale version", async () => {
  const changing = new NoiseFolder();
  changing.write(GRAPHS, 1);
  const moved = await TestServer.start({ "/model/": changing.path });
  const options = { store, retries: 0 };
  installed = await install(env, `${moved.origin}/model`, options);
  const read = async (path: string): Promise<Buffer> => {
    const found = await env.customCache.match(`${installed.model}/${path}`);
    return Buffer.from(await found.arrayBuffer());
  };
  const content = (path: string): Buffer => Buffer.from(changing.files.get(path) ?? []);
  expect((await read(ENCODER)).equals(content(ENCODER))).toBe(true);
  const [stale] = JSON.parse(readFileSync(join(changing.path, "lorapress.json"), "utf8")).files[0]
    .sha256;
  await read("tokenizer.json");
  expect(await store.get(stale)).toBeDefined();
  changing.write(GRAPHS, 2);
  // Who does not ask anew keeps what was verified, and takes nothing else.
  expect((await read(ENCODER)).equals(content(ENCODER))).toBe(false);
  await expect(read("onnx/decoder_model_merged.onnx")).rejects.toMatchObject({
    code: "invalid_file",
  });
  installed = await install(env, `${moved.origin}/model`, options); // in place of the first
  for (const path of Object.keys(GRAPHS)) {
    expect((await read(path)).equals(content(path)), path).toBe(true);
  }
  expect(await store.get(stale)).toBeUndefined();
  await moved.stop();
});

it("leaves other models to transformers.js, and takes two folders", async () => {
  await use();
  const second = await install(env, `${server.origin}/models/base`, { store });
  const sizes = async (model: string): Promise<number> =>
    (await env.customCache.match(`${model}/config.json`))
      .arrayBuffer()
      .then(({ byteLength }: ArrayBuffer) => byteLength);
  expect(await sizes(second.model)).toBe(readFileSync(join(pressed("base"), "config.json")).length);
  expect(await sizes(installed.model)).toBe(readFileSync(join(folder, "config.json")).length);
  second.restore();
  expect(await env.customCache.match(`${second.model}/config.json`)).toBeUndefined();
  // A file that lorapress.json does not list is not there; other addresses are fetched.
  server.clear();
  expect((await env.fetch(`${installed.model}/other.json`)).status).toBe(404);
  expect(server.requests).toEqual([]);
  expect((await env.fetch(`${second.model}/config.json`)).status).toBe(200);
  expect(server.requests.length).toBe(1);
  // By a name that transformers.js turns into an address itself, as it does without us.
  Object.assign(env, { remoteHost: `${server.origin}/models/`, remotePathTemplate: "{model}/" });
  const pipe = await library.pipeline("image-to-text", "base");
  expect(server.requests.filter(({ path }) => path.endsWith(".onnx")).length).toBe(2);
  await pipe.dispose();
  const { remoteHost, remotePathTemplate } = untouched;
  Object.assign(env, { remoteHost, remotePathTemplate });
});
