// What the npm package consists of, in dist/: index.js and transformers.js for bundlers, the same for Node in node/,
// and in lorapress/ the modules that bundlers copy as they are: the worker in one file, and the engine's.
// usage: node tools/package.mjs
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { build } from "esbuild";
import { ENGINE_MODULES, engineFilesAre, WEB } from "./engine.mjs";

const DIST = join(WEB, "dist");
const PUBLIC = ["index", "transformers", "worker"];

/** @type {import("esbuild").BuildOptions} */
const COMMON = {
  absWorkingDir: WEB,
  bundle: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  logLevel: "warning",
};

const ENTRY = `// No JSX: Vite's development server joins the JavaScript of a package into a file elsewhere, from where its worker
// and its engine are not found. Packages whose entry has another name stay where they are (isOptimizable in
// vite/src/node/optimizer).
export * from "./index.js";
`;

async function scripts() {
  const entryPoints = ["src/index.ts", "src/transformers.ts"];
  const whole = { ...COMMON, entryPoints, splitting: true, chunkNames: "shared" };
  const npm = engineFilesAre({ path: join(WEB, "src/engine_files_npm.ts") });
  await build({ ...whole, outdir: DIST, plugins: [npm] });
  await build({ ...whole, outdir: join(DIST, "node"), platform: "node" });
  writeFileSync(join(DIST, "entry.jsx"), ENTRY);
  await build({
    ...COMMON,
    entryPoints: ["src/worker.ts"],
    outfile: join(DIST, "lorapress/worker.js"),
    minify: true,
    plugins: [npm],
  });
  for (const [name, text] of Object.entries(ENGINE_MODULES)) {
    writeFileSync(join(DIST, "lorapress", name), text);
  }
}

/** The declarations of the public modules, and of what they import. */
function declarations() {
  const all = mkdtempSync(join(tmpdir(), "lorapress-types-"));
  const tsc = createRequire(import.meta.url).resolve("typescript/package.json");
  const program = join(dirname(tsc), "bin/tsc");
  execFileSync(process.execPath, [program, "-p", "tsconfig.build.json", "--outDir", all], {
    cwd: WEB,
    stdio: "inherit",
  });
  const wanted = new Set(PUBLIC);
  for (const name of wanted) {
    const text = readFileSync(join(all, `${name}.d.ts`), "utf8");
    for (const [, other] of text.matchAll(/from "\.\/(\w+)\.js"/g)) {
      wanted.add(/** @type {string} */ (other));
    }
    writeFileSync(join(DIST, `${name}.d.ts`), text);
  }
  rmSync(all, { recursive: true });
}

/** Whose code is in the files above, and under which terms. */
function licences() {
  cpSync(join(WEB, "../LICENSE"), join(DIST, "LICENSE"));
  const { version } = JSON.parse(
    readFileSync(join(WEB, "node_modules/onnxruntime-web/package.json"), "utf8"),
  );
  const tokenizers = join(WEB, "node_modules/@huggingface/tokenizers");
  const { version: other } = JSON.parse(readFileSync(join(tokenizers, "package.json"), "utf8"));
  writeFileSync(
    join(DIST, "NOTICE"),
    `lorapress/cpu.js and lorapress/webgpu.js are files of onnxruntime-web ${version}:
Copyright (c) Microsoft Corporation. Licensed under the MIT License.

index.js (or shared.js) and lorapress/worker.js contain @huggingface/tokenizers ${other}:
Copyright the Hugging Face team. Licensed under the Apache License, Version 2.0 (LICENSE).
`,
  );
}

rmSync(DIST, { recursive: true, force: true });
mkdirSync(join(DIST, "lorapress"), { recursive: true });
await scripts();
cpSync(join(WEB, "tools/copy.mjs"), join(DIST, "copy.mjs"));
declarations();
licences();
