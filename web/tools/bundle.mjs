// Bundles for pages without a bundler: build/bundle/{lorapress,worker,transformers,img-captioner}.js, the engines' files
// beside them in engine/ and ort/.
// usage: node tools/bundle.mjs [OUT [MODULE.ts...]]   MODULE: a further module of the bundle
//        node tools/bundle.mjs --demo [OUT]          the demo page, to which a model's folder is added
import { cpSync, mkdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { noDisk } from "./disk.mjs";
import {
  buildThread,
  ENGINE_MODULES,
  ENGINE_WASM,
  engineFilesAre,
  nativeWasm,
  WEB,
} from "./engine.mjs";

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
      "img-captioner": "src/img_captioner.ts",
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
    plugins: [engineFilesAre({ path: join(WEB, "src/engine/engine_files_bundle.ts") }), noDisk],
    logLevel: "warning",
  });
  mkdirSync(join(out, "ort"), { recursive: true });
  for (const [name, text] of Object.entries(ENGINE_MODULES)) {
    writeFileSync(join(out, "ort", name), text);
  }
  for (const file of ENGINE_WASM) {
    cpSync(file, join(out, "ort", basename(file)));
  }
  mkdirSync(join(out, "engine"));
  for (const file of nativeWasm()) {
    cpSync(file, join(out, "engine", basename(file)));
  }
  await buildThread(resolve(out, "engine/thread.js"));
}

/**
 * The demo page with everything it needs, for any static host; the model's folder is put beside it as
 * model/.
 * @param {string} out
 */
export async function demo(out) {
  await bundle(out, { demo: "demo/demo.ts" });
  for (const file of ["index.html", "style.css", "isolate.js", "isolation-worker.js"]) {
    cpSync(join(WEB, "demo", file), join(out, file));
  }
}

if (realpathSync(process.argv[1] ?? ".") === fileURLToPath(import.meta.url)) {
  const [first, ...rest] = process.argv.slice(2);
  const nameOf = (/** @type {string} */ path) => basename(path).replace(/\.\w+$/, "");
  if (first === "--demo") {
    await demo(rest[0] ?? join(WEB, "build/demo"));
  } else {
    const modules = rest.map((path) => [nameOf(path), path]);
    await bundle(first ?? join(WEB, "build/bundle"), Object.fromEntries(modules));
  }
}
