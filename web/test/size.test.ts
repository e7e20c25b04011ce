import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { expect, it } from "vitest";
import { WEB } from "./lib/program.js";

const LIMITS = { index: 40_000, transformers: 10_000 };

for (const [name, most] of Object.entries(LIMITS)) {
  it(`${name} is at most ${most} bytes without the engine, minified and packed`, async () => {
    const { outputFiles, metafile } = await build({
      absWorkingDir: WEB,
      entryPoints: [`src/${name}.ts`],
      bundle: true,
      minify: true,
      format: "esm",
      target: "es2022",
      external: ["onnxruntime-web", "onnxruntime-web/*"],
      metafile: true,
      write: false,
    });
    const bytes = gzipSync(outputFiles[0]?.contents ?? new Uint8Array()).length;
    expect(bytes).toBeGreaterThan(most / 4);
    expect(bytes).toBeLessThanOrEqual(most);
    const [output] = Object.values(metafile.outputs);
    const engine = output?.imports.filter(({ path }) => path.startsWith("onnxruntime-web")) ?? [];
    expect(engine.length > 0).toBe(name === "index"); // the drop-in brings no second engine
    console.log(`${name}, min+gzip without the engine: ${bytes} bytes`);
  });
}
