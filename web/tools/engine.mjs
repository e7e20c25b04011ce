// What the builds of the package share: the files that the engines consist of, and the file of src/ that says where
// they are.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export const WEB = dirname(dirname(fileURLToPath(import.meta.url)));
const ORT = dirname(createRequire(import.meta.url).resolve("onnxruntime-web"));

// Its last statement is Node's. webpack's minifier stops there: it takes a file that is copied for a script.
const NODE_THREADS =
  'if(isNode)isPthread=(await import("worker_threads")).workerData==="em-pthread";';
const SOURCE_MAP = /\n\/\/# sourceMappingURL=.*\s*$/; // of files that are not copied

/**
 * The text of `name` without `part`, which must be there.
 * @param {string} name
 * @param {string | RegExp} part
 */
function without(name, part) {
  const text = readFileSync(join(ORT, name), "utf8");
  const left = text.replace(part, "");
  if (left === text) {
    throw new Error(`${name} is not the one that this was written for: it has no ${part}`);
  }
  return left;
}

/** By our names: the CPU build's module, and the WebGPU build's with the JavaScript above it. */
export const ENGINE_MODULES = {
  "cpu.js": without("ort-wasm-simd-threaded.mjs", NODE_THREADS),
  "webgpu.js": without("ort.webgpu.bundle.min.mjs", SOURCE_MAP),
};

export const ENGINE_WASM = [
  "ort-wasm-simd-threaded.wasm",
  "ort-wasm-simd-threaded.asyncify.wasm",
].map((name) => join(ORT, name));

/**
 * The project's own engine as WebAssembly, compiled where a source has changed: paths of its builds.
 * @returns {string[]}
 */
export function nativeWasm() {
  const folder = join(WEB, "../build-wasm/engine");
  execFileSync(join(WEB, "../tools/engine_wasm.sh"), [folder], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const names = readdirSync(folder).filter((name) => /^engine_\w+\.wasm$/.test(name));
  return names.map((name) => join(folder, name));
}

/**
 * The module of that engine's threads.
 * @param {string} outfile
 */
export async function buildThread(outfile) {
  const entryPoints = ["src/engine/native_thread.ts"];
  const how = {
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none",
  };
  await build({ absWorkingDir: WEB, entryPoints, outfile, logLevel: "warning", ...how });
}

/**
 * An esbuild plugin: `./engine_files.js` is another file.
 * @param {import("esbuild").OnResolveResult} is
 * @returns {import("esbuild").Plugin}
 */
export function engineFilesAre(is) {
  return {
    name: "engine files",
    setup(build) {
      build.onResolve({ filter: /\/engine_files\.js$/ }, () => is);
    },
  };
}
