// @lorapress/cli, packed from this build and installed by npm and Bun from a registry on this machine.
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { before, describe, it } from "node:test";
import { promisify } from "node:util";
import { BUN, ROOT, run } from "./lib/project.mjs";

const SCRATCH = process.env.LORAPRESS_BUNDLERS_SCRATCH;
const HERE = `${process.platform}-${process.arch}`;
const { version } = JSON.parse(readFileSync(join(ROOT, "web/package.json"), "utf8"));
const tool = (name) => join(ROOT, "packaging/npm", name);
const folder = join(SCRATCH, "cli");
const packages = join(folder, "packages");

/** What `make wheels` has in a wheel beside the program, and where. */
const ABOUT = {
  NOTICE: "licenses/NOTICE",
  THIRD_PARTY_LICENSES: "licenses/THIRD_PARTY_LICENSES",
  "lorapress.cdx.json": "sboms/lorapress.cdx.json",
};

/** @param {string[]} binaries places in lorapress/ @param {string[]} about of ABOUT's names */
function writeWheel(wheel, binaries, about) {
  const zip = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    for name in sys.argv[2:]:
        wheel.writestr(name, f"text of {name}")`;
  const texts = about.map((name) => `lorapress-${version}.dist-info/${ABOUT[name]}`);
  execFileSync("python3", ["-c", zip, wheel, ...binaries.map((name) => `lorapress/${name}`), ...texts]);
}

/** What a failed program says, and its status. */
function refusal(program, args, env = {}) {
  try {
    execFileSync(program, args, { encoding: "utf8", stdio: "pipe", env: { ...process.env, ...env } });
  } catch ({ status, stderr }) {
    return { status, stderr };
  }
  return assert.fail(`${program} ${args.join(" ")} succeeded`);
}

describe("@lorapress/cli", () => {
  before(() => {
    mkdirSync(folder);
    const stub = join(folder, "stub");
    writeFileSync(stub, "a program of another platform");
    const wheel = join(folder, `lorapress-${version}-py3-none-macosx_11_0_arm64.whl`);
    writeWheel(wheel, ["bin/lorapress", "lib/liblorapress_c.dylib"], Object.keys(ABOUT));
    const program = join(folder, "program");
    run("strip", ["-o", program, process.env.LORAPRESS]); // half of the bytes to pack
    run("node", [tool("pack.mjs"), packages, `${HERE}=${program}`, wheel, `win32-x64=${stub}`], ROOT);
  });

  it("is one package a platform, and one that names them all", () => {
    const names = ["cli", `cli-${HERE}`, "cli-darwin-arm64", "cli-win32-x64"];
    assert.deepEqual(readdirSync(packages).sort(), names.map((name) => `lorapress-${name}-${version}.tgz`).sort());
    const listed = run("tar", ["tzf", join(packages, `lorapress-cli-win32-x64-${version}.tgz`)]).trim().split("\n");
    assert.deepEqual(listed.sort(), ["LICENSE", "README.md", "bin/lorapress.exe", "package.json"].map((file) => `package/${file}`));
    const ofWheel = ["bin/lorapress", "lib/liblorapress_c.dylib"].map((name) => [name, `lorapress/${name}`]);
    ofWheel.push(...Object.entries(ABOUT).map(([name, place]) => [name, `lorapress-${version}.dist-info/${place}`]));
    for (const [name, place] of ofWheel) {
      const text = run("tar", ["xzOf", join(packages, `lorapress-cli-darwin-arm64-${version}.tgz`), `package/${name}`]);
      assert.equal(text, `text of ${place}`);
    }
    const { scripts } = JSON.parse(run("tar", ["xzOf", join(packages, `lorapress-cli-${version}.tgz`), "package/package.json"]));
    assert.equal(scripts, undefined);
  });

  for (const manager of ["npm", "bun"]) {
    it(`installed by ${manager} it presses the demo`, async () => {
      const out = join(folder, `model-${manager}`);
      const args = [tool("try.mjs"), packages, manager, "press", join(ROOT, "models/demo"), out];
      const env = { ...process.env, PATH: `${dirname(BUN)}:${process.env.PATH}` };
      const { stdout } = await promisify(execFile)("node", args, { env });
      assert.match(stdout, /is ready/);
      assert.ok(existsSync(join(out, "lorapress.json")));
    });
  }

  it("hands on arguments and exit statuses, and says in one line what is missing", () => {
    const home = join(folder, "installed/node_modules/@lorapress");
    for (const name of ["cli", `cli-${HERE}`]) {
      mkdirSync(join(home, name), { recursive: true });
      run("tar", ["xzf", join(packages, `lorapress-${name}-${version}.tgz`), "-C", join(home, name), "--strip-components=1"]);
    }
    const program = join(home, "cli/lorapress.mjs");
    assert.equal(run("node", [program, "--version"]), `lorapress ${version}\n`);
    const wrong = refusal("node", [program, "inspect", "/nowhere"]);
    assert.deepEqual(wrong, refusal(process.env.LORAPRESS, ["inspect", "/nowhere"]));
    const as = (platform, arch) => `data:text/javascript,Object.defineProperties(process,{platform:{value:"${platform}"},arch:{value:"${arch}"}})`;
    for (const [platform, arch, expected] of [
      ["sunos", "x64", /^@lorapress\/cli: there is no program for sunos-x64 \(there are: linux-x64, .*\); build it from source.*\n$/],
      ["darwin", "x64", /^@lorapress\/cli: @lorapress\/cli-darwin-x64, .* is not installed; .*--include=optional\)\n$/],
    ]) {
      const { status, stderr } = refusal("node", ["--import", as(platform, arch), program, "--version"]);
      assert.match(stderr, expected);
      assert.equal(status, 1);
    }
  });

  it("is not published from a bare program, nor packed from a wheel without its licences or its library", () => {
    const isPrivate = (platform) =>
      JSON.parse(run("tar", ["xzOf", join(packages, `lorapress-cli-${platform}-${version}.tgz`), "package/package.json"])).private;
    assert.deepEqual(["darwin-arm64", "win32-x64", HERE].map(isPrivate), [undefined, true, true]);
    const wheel = join(folder, "lorapress-1-py3-none-win_amd64.whl");
    for (const [binaries, about, missing] of [
      [["bin/lorapress.exe", "bin/lorapress_c.dll"], ["NOTICE", "lorapress.cdx.json"], "licenses/THIRD_PARTY_LICENSES"],
      [["bin/lorapress.exe"], Object.keys(ABOUT), "lorapress_c"],
    ]) {
      writeWheel(wheel, binaries, about);
      const { status, stderr } = refusal("node", [tool("pack.mjs"), join(folder, "refused"), wheel]);
      assert.match(stderr, new RegExp(`^pack: .*\\.whl has 0 files ${missing}, expected one\n$`));
      assert.equal(status, 2);
    }
  });

  it("pack.mjs explains itself", () => {
    for (const [args, said] of [[[], /^pack: usage: /], [[folder, "amiga=x"], /^pack: amiga=x: expected a wheel or PLATFORM=PROGRAM/]]) {
      const { status, stderr } = refusal("node", [tool("pack.mjs"), ...args]);
      assert.match(stderr, said);
      assert.equal(status, 2);
    }
  });
});
