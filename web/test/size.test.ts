// What a visitor downloads of the package, packed.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, type Plugin } from "esbuild";
import { expect, it } from "vitest";
import { downloadOf, SPLIT } from "./lib/packed.js";
import { pressed, WEB } from "./lib/program.js";

/** As tools/disk.mjs has it. */
const noDisk: Plugin = {
  name: "no disk",
  setup({ onResolve }) {
    onResolve({ filter: /\/disk\.js$/ }, () => ({ path: join(WEB, "src/loading/no_disk.ts") }));
  },
};

// Chat templates, by @huggingface/jinja, are 13 kB of the index.
const LIMITS = { index: 56_000, transformers: 10_700, img_captioner: 3_000 };
/** Of the page's and the worker's JavaScript, and of the engine's WebAssembly. */
const MOST_BYTES = 200_000;

const sizeOf = (content: Uint8Array): number => gzipSync(content).length;

for (const [name, most] of Object.entries(LIMITS)) {
  it(`${name} is at most ${most} bytes without the engine's WebAssembly, minified and packed`, async () => {
    const result = await build({
      ...SPLIT,
      absWorkingDir: WEB,
      entryPoints: [`src/${name}.ts`],
      target: "es2022",
      external: name === "img_captioner" ? ["./index.js"] : ["node:*"], // which it imports later
      plugins: [noDisk],
    });
    const { bytes, inputs } = downloadOf(result, `out/${name}.js`);
    expect(bytes).toBeGreaterThan(most / 4);
    expect(bytes).toBeLessThanOrEqual(most);
    // The drop-in brings no second engine, and ONNX Runtime comes where it is asked for.
    expect(inputs.includes("src/engine/engine.ts")).toBe(name === "index");
    expect(inputs.filter((path) => /onnxruntime|engine\/(ort|onnx)_/.test(path))).toEqual([]);
    console.log(`${name}, min+gzip: ${bytes} bytes`);
  });
}

it(`a page on CPUs downloads at most ${MOST_BYTES} bytes: JavaScript and WebAssembly, packed`, () => {
  const bundle = pressed("bundle");
  const text = (name: string): string => readFileSync(join(bundle, name), "utf8");
  const names = new Set(["lorapress.js", "worker.js", "engine/thread.js"]);
  for (const name of names) {
    for (const [, other = ""] of text(name).matchAll(/\b(?:from|import) ?"\.\/([\w.-]+\.js)"/g)) {
      names.add(other);
    }
  }
  const bytesOf = (name: string): number => sizeOf(readFileSync(join(bundle, name)));
  const scripts = [...names].reduce((sum, name) => sum + bytesOf(name), 0);
  const builds = readdirSync(join(bundle, "engine")).filter((name) => name.endsWith(".wasm"));
  expect(builds.length).toBe(4);
  const wasm = Math.max(...builds.map((name) => bytesOf(`engine/${name}`)));
  console.log(`${[...names].join(" ")}: ${scripts} bytes, WebAssembly: ${wasm} bytes`);
  expect(scripts).toBeGreaterThan(40_000);
  expect(scripts + wasm).toBeLessThanOrEqual(MOST_BYTES);
});
