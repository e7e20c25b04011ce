// Installs the tarballs of FOLDER as a user would, from a registry on this machine, and prints what the program says.
// usage: node packaging/npm/try.mjs FOLDER npm|pnpm|bun [ARGUMENT...]   ARGUMENT: of lorapress; --version
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serveRegistry } from "./registry.mjs";

// What each manager calls "install" and "run a package's program"; npx does both.
const WAYS = {
  npm: { run: ["npx", "--yes", "@lorapress/cli"] },
  pnpm: { add: ["pnpm", "add", "--silent", "@lorapress/cli"], run: ["pnpm", "exec", "lorapress"] },
  bun: { add: ["bun", "add", "--silent", "@lorapress/cli"], run: ["bun", "run", "lorapress"] },
};

const [folder, manager, ...rest] = process.argv.slice(2);
const way = WAYS[manager];
if (way === undefined) {
  console.error("usage: node packaging/npm/try.mjs FOLDER npm|pnpm|bun [ARGUMENT...]");
  process.exit(2);
}
const project = mkdtempSync(join(tmpdir(), "lorapress-try-"));
const registry = await serveRegistry(folder);
writeFileSync(join(project, "package.json"), '{ "private": true }\n');
writeFileSync(join(project, ".npmrc"), `registry=${registry.url}\ncache=${join(project, "cache")}\n`);
mkdirSync(join(project, "home"));
const env = { ...process.env, npm_config_registry: registry.url, NPM_CONFIG_REGISTRY: registry.url, BUN_INSTALL_CACHE_DIR: join(project, "cache") };
delete env.npm_config_cache;

/** @param {string[]} command @returns {Promise<number>} */
function call([program, ...args]) {
  const child = spawn(program, args, { cwd: project, env, stdio: ["ignore", "inherit", "inherit"] });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (status) => resolve(status ?? 1));
  });
}

try {
  const added = way.add === undefined ? 0 : await call(way.add);
  process.exitCode = added === 0 ? await call([...way.run, ...(rest.length > 0 ? rest : ["--version"])]) : added;
} finally {
  registry.stop();
  rmSync(project, { recursive: true, force: true });
}
