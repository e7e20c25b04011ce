import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, type Plugin } from "esbuild";
import { expect, it } from "vitest";
import { WEB } from "./lib/program.js";

/** As tools/disk.mjs has it. */
const noDisk: Plugin = {
  name: "no disk",
  setup({ onResolve }) {
    onResolve({ filter: /\/disk\.js$/ }, () => ({ path: join(WEB, "src/loading/no_disk.ts") }));
  },
};

// Chat templates, by @huggingface/jinja, are 13 kB of the index.
const LIMITS = { index: 58_000, transformers: 10_500, img_captioner: 3_000 };

for (const [name, most] of Object.entries(LIMITS)) {
  it(`${name} is at most ${most} bytes without the engine, minified and packed`, async () => {
    const { outputFiles, metafile } = await build({
      absWorkingDir: WEB,
      entryPoints: [`src/${name}.ts`],
      bundle: true,
      minify: true,
      format: "esm",
      target: "es2022",
      external: name === "img_captioner" ? ["./index.js"] : ["node:*"], // which it imports later
      plugins: [noDisk],
      metafile: true,
      write: false,
    });
    const bytes = gzipSync(outputFiles[0]?.contents ?? new Uint8Array()).length;
    expect(bytes).toBeGreaterThan(most / 4);
    expect(bytes).toBeLessThanOrEqual(most);
    // The drop-in brings no second engine; the first is fetched by its address.
    expect("src/engine/engine.ts" in metafile.inputs).toBe(name === "index");
    expect(Object.keys(metafile.inputs).filter((path) => path.includes("onnxruntime"))).toEqual([]);
    console.log(`${name}, min+gzip without the engine: ${bytes} bytes`);
  });
}
