// Projects of the package's users: an example, the packages that it names, and the tarball, installed by npm without
// a network.
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = resolve(fileURLToPath(import.meta.url), "../../../..");
export const IMAGE = "scene-10000003.png";
export const CAPTION = JSON.parse(
  readFileSync(join(ROOT, "models/demo/images/captions.json"), "utf8"),
)[IMAGE];
export const EXAMPLES = join(ROOT, "examples/bundlers");
/** Where an example has its lines. */
export const MAIN = {
  vite: "main.js",
  webpack: "src/index.js",
  rollup: "main.js",
  esbuild: "main.js",
};
const MODULES = join(ROOT, "tests/bundlers/node_modules");
// Their npm packages fetch or link the program when they are installed; it lies in another package, of this platform.
const { platform, arch } = process;
export const BUN = join(MODULES, `@oven/bun-${platform}-${arch === "arm64" ? "aarch64" : arch}/bin/bun`);
export const DENO = join(MODULES, `@deno/${platform}-${arch}${platform === "linux" ? "-glibc" : ""}/deno`);
const SCRATCH = process.env.LORAPRESS_BUNDLERS_SCRATCH;

export function run(program, args, cwd) {
  // npm's own settings of a test that npm runs are not the project's.
  const env = { ...process.env, npm_config_cache: join(SCRATCH, "npm"), NODE_ENV: "" };
  return execFileSync(program, args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Hard links where the file system has them. */
function copyTree(from, to) {
  try {
    run("cp", ["-alH", from, to]);
  } catch {
    run("cp", ["-aH", from, to]); // H: worktrees may have a link there
  }
}

/** run.sh has packed the package and pressed the demo checkpoint. */
const model = join(SCRATCH, "model");

/** Returns the project's folder. */
export function makeProject(name) {
  const folder = join(SCRATCH, name);
  cpSync(join(EXAMPLES, name), folder, { recursive: true });
  for (const left of ["node_modules", "dist", "model", "public"]) {
    rmSync(join(folder, left), { recursive: true, force: true }); // of whoever tried the example
  }
  install(folder);
  addModel(folder, name === "vite" ? "public" : ".");
  return folder;
}

/** The packages of the lock file, of which npm leaves those that the project names, and the tarball. */
export function installByNpm(folder) {
  copyTree(MODULES, join(folder, "node_modules"));
  for (const own of [".package-lock.json", ".installed"]) {
    rmSync(join(folder, "node_modules", own), { force: true });
  }
  const tarball = join(SCRATCH, readdirSync(SCRATCH).find((name) => name.endsWith(".tgz")));
  const quiet = ["--offline", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"];
  run("npm", ["install", ...quiet, "--loglevel=error", tarball], folder);
}

/** What npm has installed for all examples together. */
export function install(folder) {
  copyTree(join(SCRATCH, "all/node_modules"), join(folder, "node_modules"));
}

/** Packs the package, installs it, and presses the demo checkpoint: once, for all tests. */
export function prepare() {
  run("node", [join(ROOT, "web/tools/package.mjs"), "--pack", SCRATCH], ROOT);
  const all = join(SCRATCH, "all");
  mkdirSync(all);
  cpSync(join(ROOT, "tests/bundlers/package.json"), join(all, "package.json"));
  installByNpm(all);
  run(process.env.LORAPRESS, ["press", join(ROOT, "models/demo"), model]);
}

export function addModel(folder, where) {
  mkdirSync(join(folder, where), { recursive: true });
  copyTree(model, join(folder, where, "model"));
  cpSync(join(ROOT, "models/demo/images", IMAGE), join(folder, where, "image.png"));
}

/** Where the built page is. */
export function siteOf(name, folder) {
  return name === "vite" ? join(folder, "dist") : folder;
}

// Vite 7 and 8 need a newer Node than Debian 12 has; there Vite 6, which runs the tests of web/, stands in for the
// example's.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
const IS_NEW = major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19);
export const VITE = IS_NEW ? 7 : 6;
export const OTHER_VITES = IS_NEW ? [6, 8] : [];

function viteProgram(folder, version) {
  const homes = {
    6: join(ROOT, "web/node_modules/vite"),
    7: join(folder, "node_modules/vite"),
    8: join(MODULES, "vite-8"),
  };
  return join(homes[version], "bin/vite.js");
}

export function build(name, folder, version = VITE) {
  return name === "vite"
    ? run("node", [viteProgram(folder, version), "build"], folder)
    : run("npm", ["run", "build"], folder);
}

/** `vite` or `vite preview` until stop(); resolves when it names its address. */
export async function startVite(folder, command, version) {
  const args = [viteProgram(folder, version), command, "--host", "127.0.0.1", "--port", "0"];
  const child = spawn("node", args, {
    cwd: folder,
    env: { ...process.env, NODE_ENV: "", NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  const origin = await new Promise((found, failed) => {
    const hear = (piece) => {
      said += piece;
      const address = /http:\/\/127\.0\.0\.1:\d+/.exec(said);
      if (address) {
        found(address[0]);
      }
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.on("exit", () => failed(new Error(`vite ended: ${said}`)));
  });
  return { origin, said: () => said, stop: () => child.kill() };
}
