import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { expect, it } from "vitest";
import { WEB } from "./lib/program.js";

it("is at most 40 kB without the engine, minified and packed", async () => {
  const { outputFiles } = await build({
    absWorkingDir: WEB,
    entryPoints: ["src/index.ts"],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    external: ["onnxruntime-web", "onnxruntime-web/*"],
    write: false,
  });
  const bytes = gzipSync(outputFiles[0]?.contents ?? new Uint8Array()).length;
  expect(bytes).toBeGreaterThan(10_000);
  expect(bytes).toBeLessThanOrEqual(40_000);
  console.log(`min+gzip without the engine: ${bytes} bytes`);
});
