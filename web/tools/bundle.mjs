// Bundles for pages without a bundler: dist/bundle/{lorapress,worker,transformers}.js, the engine's own files
// beside them in ort/. The engine's JavaScript is in them, its WebAssembly is not.
// usage: node tools/bundle.mjs [OUT [MODULE.ts...]]   MODULE: a further module of the bundle
//        node tools/bundle.mjs --demo [OUT]          the demo page, to which a model's folder is added
import { cpSync, mkdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const WEB = dirname(dirname(fileURLToPath(import.meta.url)));

/** Which files the engine loads by itself: the plain build on CPUs, the other one on WebGPU. */
const ENGINE_FILES = ["ort-wasm-simd-threaded", "ort-wasm-simd-threaded.asyncify"];

/**
 * @param {string} out
 * @param {Record<string, string>} [more] further modules of the bundle, by name
 */
export async function bundle(out, more = {}) {
  rmSync(out, { recursive: true, force: true }); // chunks are named by their content
  await build({
    absWorkingDir: WEB,
    entryPoints: {
      lorapress: "src/index.ts",
      worker: "src/worker.ts",
      transformers: "src/transformers.ts",
      ...more,
    },
    outdir: resolve(out), // not relative to the package
    bundle: true,
    splitting: true,
    chunkNames: "chunk-[hash]",
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none",
    // The engine's files are fetched from ort/, not looked for beside whatever file this became.
    conditions: ["onnxruntime-web-use-extern-wasm"],
    define: { LORAPRESS_ENGINE_PATH: '"./ort/"' },
    logLevel: "warning",
  });
  const dist = join(dirname(createRequire(import.meta.url).resolve("onnxruntime-web")));
  mkdirSync(join(out, "ort"), { recursive: true });
  for (const name of ENGINE_FILES) {
    for (const type of [".mjs", ".wasm"]) {
      cpSync(join(dist, name + type), join(out, "ort", name + type));
    }
  }
}

/**
 * The demo page with everything it needs, for any static host; the model's folder is put beside it as
 * model/.
 * @param {string} out
 */
export async function demo(out) {
  await bundle(out, { demo: "demo/demo.ts" });
  for (const file of ["index.html", "style.css"]) {
    cpSync(join(WEB, "demo", file), join(out, file));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [first, ...rest] = process.argv.slice(2);
  const nameOf = (/** @type {string} */ path) => basename(path).replace(/\.\w+$/, "");
  if (first === "--demo") {
    await demo(rest[0] ?? join(WEB, "dist/demo"));
  } else {
    const modules = rest.map((path) => [nameOf(path), path]);
    await bundle(first ?? join(WEB, "dist/bundle"), Object.fromEntries(modules));
  }
}
