// Packs @lorapress/cli and the packages that hold its program, one a platform, as tarballs for `npm publish`.
// usage: node packaging/npm/pack.mjs OUT FROM...   FROM: a wheel that `make wheels` left, or PLATFORM=PROGRAM, such as
//        linux-x64=build/lorapress. The tarball of @lorapress/cli names all platforms, of which there may be fewer.
// A package of a bare program has no licences of what is linked: npm does not publish it.
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const VERSION = /^project\(lorapress VERSION ([0-9.]+)/m.exec(readFileSync(join(ROOT, "CMakeLists.txt"), "utf8"))[1];

/** As Node names them, and what is in the name of a wheel. */
const PLATFORMS = {
  "linux-x64": { wheel: /linux_.*x86_64\.whl$/, libc: ["glibc"] },
  "linux-arm64": { wheel: /linux_.*aarch64\.whl$/, libc: ["glibc"] },
  "darwin-arm64": { wheel: /macosx_.*arm64\.whl$/ },
  "darwin-x64": { wheel: /macosx_.*x86_64\.whl$/ },
  "win32-x64": { wheel: /win_amd64\.whl$/ },
};
/** In a wheel's folder lorapress/: the program, and the library that holds its code, which it looks for in ../lib or, on Windows, beside it. */
const BINARIES = { "bin/lorapress": /^bin\/lorapress(\.exe)?$/, lorapress_c: /^(lib\/liblorapress_c\.(so|dylib)|bin\/lorapress_c\.dll)$/ };
/** Behind .dist-info/ in a wheel: what is linked into its program, and the licences of that. */
const ABOUT = ["licenses/NOTICE", "licenses/THIRD_PARTY_LICENSES", "sboms/lorapress.cdx.json"];

const COMMON = {
  version: VERSION,
  license: "Apache-2.0",
  type: "module",
  engines: { node: ">=18.17" },
  preferUnplugged: true, // for Yarn, which runs no program inside an archive
};

class Mistake extends Error {}

/** Writes BINARIES and ABOUT of a wheel into `folder`. */
function unpack(wheel, folder) {
  const unpacked = mkdtempSync(join(tmpdir(), "lorapress-wheel-"));
  execFileSync("python3", ["-m", "zipfile", "-e", wheel, unpacked]);
  const names = readdirSync(unpacked, { recursive: true });
  const find = (what, fits) => {
    const found = names.filter(fits);
    if (found.length !== 1) {
      throw new Mistake(`${wheel} has ${found.length} files ${what}, expected one`);
    }
    return found[0];
  };
  for (const [what, place] of Object.entries(BINARIES)) {
    const name = find(what, (name) => name.startsWith("lorapress/") && place.test(name.slice("lorapress/".length)));
    const to = join(folder, name.slice("lorapress/".length));
    mkdirSync(dirname(to), { recursive: true });
    copyFileSync(join(unpacked, name), to);
  }
  for (const place of ABOUT) {
    const name = find(place, (name) => name.endsWith(`.dist-info/${place}`));
    copyFileSync(join(unpacked, name), join(folder, basename(place)));
  }
  rmSync(unpacked, { recursive: true });
}

function pack(folder, out) {
  execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", resolve(out)], { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
}

function writePackage(folder, fields) {
  writeFileSync(join(folder, "package.json"), `${JSON.stringify({ ...fields, ...COMMON }, null, 2)}\n`);
  copyFileSync(join(ROOT, "LICENSE"), join(folder, "LICENSE"));
}

function packProgram(platform, from, folder, out) {
  const [os, cpu] = platform.split("-");
  const { libc } = PLATFORMS[platform];
  const file = os === "win32" ? "lorapress.exe" : "lorapress";
  const program = join(folder, "bin", file);
  mkdirSync(join(folder, "bin"), { recursive: true });
  const fromWheel = from.endsWith(".whl");
  fromWheel ? unpack(from, folder) : copyFileSync(from, program);
  chmodSync(program, 0o755);
  writeFileSync(join(folder, "README.md"), `# @lorapress/cli-${platform}\n\nThe program of @lorapress/cli for ${platform}.\n`);
  const name = `@lorapress/cli-${platform}`;
  const limits = { os: [os], cpu: [cpu], ...(libc === undefined ? {} : { libc }) };
  const description = `The lorapress program for ${platform}.`;
  const about = fromWheel ? { files: ["bin", "lib", ...ABOUT.map((place) => basename(place))] } : { files: ["bin"], private: true };
  writePackage(folder, { name, description, ...limits, ...about });
  pack(folder, out);
}

function packCli(folder, out) {
  mkdirSync(folder);
  for (const file of ["lorapress.mjs", "README.md"]) {
    copyFileSync(join(ROOT, "packaging/npm/cli", file), join(folder, file));
  }
  const optionalDependencies = Object.fromEntries(Object.keys(PLATFORMS).map((platform) => [`@lorapress/cli-${platform}`, VERSION]));
  const description = "Turns a checkpoint with LoRA into a folder that a browser runs: the lorapress program.";
  writePackage(folder, { name: "@lorapress/cli", description, bin: { lorapress: "lorapress.mjs" }, files: ["lorapress.mjs"], optionalDependencies });
  pack(folder, out);
}

/** @returns {[string, string]} platform and file */
function parse(from) {
  if (from.endsWith(".whl")) {
    const found = Object.entries(PLATFORMS).find(([, { wheel }]) => wheel.test(basename(from)));
    if (found === undefined) {
      throw new Mistake(`${from}: not a wheel of ${Object.keys(PLATFORMS).join(", ")}`);
    }
    return [found[0], from];
  }
  const [, platform = "", file = ""] = /^([\w-]+)=(.+)$/.exec(from) ?? [];
  if (!(platform in PLATFORMS)) {
    throw new Mistake(`${from}: expected a wheel or PLATFORM=PROGRAM (PLATFORM: ${Object.keys(PLATFORMS).join(", ")})`);
  }
  return [platform, file];
}

const [out, ...froms] = process.argv.slice(2);
const scratch = mkdtempSync(join(tmpdir(), "lorapress-npm-"));
try {
  if (out === undefined || froms.length === 0) {
    throw new Mistake("usage: node packaging/npm/pack.mjs OUT WHEEL|PLATFORM=PROGRAM...");
  }
  mkdirSync(out, { recursive: true });
  for (const [platform, file] of froms.map(parse)) {
    packProgram(platform, file, join(scratch, platform), out);
  }
  packCli(join(scratch, "cli"), out);
} catch (error) {
  if (!(error instanceof Mistake)) {
    throw error;
  }
  console.error(`pack: ${error.message}`);
  process.exitCode = 2;
} finally {
  rmSync(scratch, { recursive: true });
}
