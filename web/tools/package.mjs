// What the npm package consists of, in dist/: index.js and transformers.js for bundlers, the same for Node in node/,
// and in lorapress/ what bundlers copy as it is: the worker in one file, and the engines'.
// usage: node tools/package.mjs              leaves dist/
//        node tools/package.mjs --pack OUT   leaves lorapress-VERSION.tgz in the folder OUT, and dist/ as it was
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { build } from "esbuild";
import { noDisk } from "./disk.mjs";
import { buildThread, ENGINE_MODULES, engineFilesAre, nativeWasm, WEB } from "./engine.mjs";

const PUBLIC = ["index", "transformers", "worker", "img_captioner"];

/** @type {import("esbuild").BuildOptions} */
const COMMON = {
  absWorkingDir: WEB,
  bundle: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  logLevel: "warning",
  metafile: true,
};

const entry = (
  /** @type {string} */ module,
) => `// No JSX: Vite's development server joins the JavaScript of a package into a file elsewhere, from where its worker
// and its engine are not found. Packages whose entry has another name stay where they are (isOptimizable in
// vite/src/node/optimizer).
export * from "./${module}.js";
`;

/**
 * Minifying takes away what bundlers are told about the worker's one import, that of the engine; whoever starts the
 * worker by himself has it bundled.
 * @param {string} file
 */
function remind(file) {
  const parts = readFileSync(file, "utf8").split("import(`");
  if (parts.length !== 2) {
    throw new Error(`${file} has ${parts.length - 1} imports of an address, expected one`);
  }
  writeFileSync(file, parts.join("import(/* @vite-ignore */ /* webpackIgnore: true */ `"));
}

/**
 * The modules of the package.
 * @param {string} dist
 * @returns {Promise<Set<string>>} the packages whose code is in them
 */
async function scripts(dist) {
  const npm = engineFilesAre({ path: join(WEB, "src/engine/engine_files_npm.ts") });
  const entryPoints = { index: "src/index.ts", transformers: "src/transformers.ts" };
  const whole = { ...COMMON, splitting: true, chunkNames: "chunk-[hash]" };
  const withElement = { ...entryPoints, "img-captioner": "src/img_captioner.ts" };
  const builds = [
    await build({ ...whole, entryPoints: withElement, outdir: dist, plugins: [npm, noDisk] }),
  ];
  const define = { LORAPRESS_ENGINE: JSON.stringify("../lorapress/") };
  const outdir = join(dist, "node");
  builds.push(await build({ ...whole, entryPoints, outdir, platform: "node", define }));
  writeFileSync(join(dist, "entry.jsx"), entry("index"));
  writeFileSync(join(dist, "img-captioner.jsx"), entry("img-captioner"));
  mkdirSync(join(dist, "lorapress"));
  const worker = await build({
    ...COMMON,
    entryPoints: ["src/worker.ts"],
    outfile: join(dist, "lorapress/worker.js"),
    minify: true,
    plugins: [npm, noDisk],
  });
  builds.push(worker);
  remind(join(dist, "lorapress/worker.js"));
  for (const [name, text] of Object.entries(ENGINE_MODULES)) {
    writeFileSync(join(dist, "lorapress", name), text);
  }
  for (const file of nativeWasm()) {
    cpSync(file, join(dist, "lorapress", basename(file)));
  }
  await buildThread(join(dist, "lorapress/thread.js"));
  cpSync(join(WEB, "tools/copy.mjs"), join(dist, "copy.mjs"));
  const inputs = builds.flatMap(({ metafile }) => Object.keys(metafile?.inputs ?? {}));
  const names = inputs.map((path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? "");
  return new Set(names.filter((name) => name !== ""));
}

/**
 * The declarations of the public modules, and of what they import.
 * @param {string} dist
 */
function declarations(dist) {
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
    for (const [, other = ""] of text.matchAll(/from "(\.[\w./]+)\.js"/g)) {
      wanted.add(join(dirname(name), other));
    }
    mkdirSync(join(dist, dirname(name)), { recursive: true });
    writeFileSync(join(dist, `${name}.d.ts`), text);
  }
  rmSync(all, { recursive: true });
}

/**
 * NOTICE and THIRD_PARTY_LICENSES: whose code is in the files above, and under which terms.
 * @param {string} dist
 * @param {Set<string>} packages what is in the modules
 */
function licences(dist, packages) {
  const root = join(WEB, "..");
  const compiler = [".venv-wasm", "tools/wasm_requirements.txt"]; // whose C++ library is in the .wasm files
  for (const [program, args] of /** @type {const} */ ([
    ["tools/python_env.sh", compiler],
    ["python3", ["packaging/make_npm_notice.py", dist]],
  ])) {
    execFileSync(program, args, { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
  }
  const notice = readFileSync(join(dist, "NOTICE"), "utf8");
  for (const name of packages) {
    if (!notice.includes(`\n${name} `)) {
      throw new Error(`${name} is in the modules and not in NOTICE (packaging/inventory.py)`);
    }
  }
}

/** @param {string} dist */
async function fill(dist) {
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist, { recursive: true });
  const packages = await scripts(dist);
  declarations(dist);
  licences(dist, packages);
}

const [flag, out] = process.argv.slice(2);
if (flag === undefined) {
  await fill(join(WEB, "dist"));
} else if (flag === "--pack" && out !== undefined) {
  const folder = mkdtempSync(join(tmpdir(), "lorapress-package-"));
  for (const file of ["package.json", "README.md", "../LICENSE"]) {
    cpSync(join(WEB, file), join(folder, basename(file)));
  }
  await fill(join(folder, "dist"));
  const args = ["pack", "--silent", "--ignore-scripts", "--pack-destination", resolve(out)];
  execFileSync("npm", args, { cwd: folder, stdio: "inherit" });
  rmSync(folder, { recursive: true });
} else {
  console.error("usage: node tools/package.mjs [--pack OUT]");
  process.exitCode = 2;
}
