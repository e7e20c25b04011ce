// The tarball that npm users get: what is in it, and what TypeScript makes of it.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { beforeAll, describe, expect, it } from "vitest";
import { downloadOf, SPLIT } from "./lib/packed.js";
import { scratch, WEB } from "./lib/program.js";

// Of them four builds of the engine, 130 kB each.
const MOST_BYTES = 900_000;
const BROWSER = [
  "chunk.js",
  "entry.jsx",
  "img-captioner.js",
  "img-captioner.jsx",
  "index.js",
  "transformers.js",
];
/** Chunks, whose names tell their content. */
const plain = (name: string): string => name.replace(/chunk-\w{8}\.js$/, "chunk.js");
const BIN = join(WEB, "node_modules/.bin");

let tarball: string;
let project: string;
let files: string[];

function run(program: string, args: readonly string[], cwd = WEB): string {
  return execFileSync(program, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

beforeAll(() => {
  const out = join(scratch(), "package");
  mkdirSync(out);
  run("node", ["tools/package.mjs", "--pack", out]);
  tarball = join(out, readdirSync(out).find((name) => name.endsWith(".tgz")) ?? "");
  files = run("tar", ["tzf", tarball]).trim().split("\n").sort();
  project = join(out, "project");
  const modules = join(project, "node_modules/lorapress");
  mkdirSync(modules, { recursive: true });
  run("tar", ["xzf", tarball, "-C", modules, "--strip-components=1"]);
  cpSync(join(WEB, "test/types"), project, { recursive: true });
  writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module", private: true }));
});

describe("the tarball", () => {
  it(`is at most ${MOST_BYTES} bytes`, () => {
    const bytes = readFileSync(tarball).length;
    console.log(`${bytes} bytes, ${files.length} files`);
    expect(bytes).toBeGreaterThan(100_000);
    expect(bytes).toBeLessThanOrEqual(MOST_BYTES);
  });

  it("holds what npm users need and no more", () => {
    expect([...new Set(files.map(plain))].filter((path) => !path.endsWith(".d.ts"))).toEqual([
      "package/LICENSE",
      "package/README.md",
      "package/dist/NOTICE",
      "package/dist/THIRD_PARTY_LICENSES",
      "package/dist/chunk.js",
      "package/dist/copy.mjs",
      "package/dist/entry.jsx",
      "package/dist/img-captioner.js",
      "package/dist/img-captioner.jsx",
      "package/dist/index.js",
      "package/dist/lorapress/cpu.js",
      "package/dist/lorapress/engine_relaxed.wasm",
      "package/dist/lorapress/engine_relaxed_threads.wasm",
      "package/dist/lorapress/engine_simd128.wasm",
      "package/dist/lorapress/engine_simd128_threads.wasm",
      "package/dist/lorapress/thread.js",
      "package/dist/lorapress/webgpu.js",
      "package/dist/lorapress/worker.js",
      "package/dist/node/chunk.js",
      "package/dist/node/index.js",
      "package/dist/node/transformers.js",
      "package/dist/transformers.js",
      "package/package.json",
    ]);
  });

  it("says whose code is in its modules, its copies and its .wasm, and has their licences", () => {
    const dist = join(project, "node_modules/lorapress/dist");
    const notice = readFileSync(join(dist, "NOTICE"), "utf8");
    const named = [...notice.matchAll(/^(\S+) [\d.]+: (.+); pkg:/gm)].map(([, name, terms]) => [
      name,
      terms,
    ]);
    expect(named).toEqual([
      ["@huggingface/jinja", "MIT"],
      ["@huggingface/tokenizers", "Apache-2.0"],
      ["onnxruntime-web", "MIT"],
      ["ziglang", "MIT AND Apache-2.0 WITH LLVM-exception"],
    ]);
    const texts = readFileSync(join(dist, "THIRD_PARTY_LICENSES"), "utf8");
    for (const [name = ""] of named) {
      expect(texts).toContain(`\n${name}\n=`);
    }
    expect(texts).toContain("Copyright (c) Microsoft Corporation");
    expect(texts).toContain("---- LLVM Exceptions to the Apache 2.0 License ----");
  });

  it("has one dependency, the engine, pinned, and no way from its entry to Node's modules", () => {
    const { dependencies } = JSON.parse(readFileSync(join(WEB, "package.json"), "utf8"));
    expect(dependencies).toEqual({ "onnxruntime-web": expect.stringMatching(/^\d+\.\d+\.\d+$/) });
    const dist = join(project, "node_modules/lorapress/dist");
    const scripts = readdirSync(dist).filter((name) => /\.jsx?$/.test(name));
    expect([...new Set(scripts.map(plain))].sort()).toEqual(BROWSER);
    for (const name of scripts) {
      const text = readFileSync(join(dist, name), "utf8");
      const imports = [...text.matchAll(/\b(?:from |import |import\(\s*)"([^"]+)"/g)].map(
        ([, path]) => path,
      );
      expect(imports.filter((path) => !path?.startsWith("./"))).toEqual([]);
      expect(text).not.toMatch(/worker_threads|node:/);
    }
    // Where bundlers do not look: copied as it is.
    const worker = readFileSync(join(dist, "lorapress/worker.js"), "utf8");
    expect(worker).not.toMatch(/\bfrom *"|import *"|worker_threads/);
  });
});

describe("what a page gets", () => {
  // Minified and packed by gzip; .wasm and the worker are files of their own.
  for (const [names, most] of [
    ["Captioner, TextGenerator, clearCache", 60_000],
    ["LorapressError", 5_000],
  ] as const) {
    it(`with ${names} is at most ${most} bytes`, async () => {
      const contents = `import { ${names} } from "lorapress"; globalThis.all = [${names}];`;
      const splitting = names.includes("Captioner"); // ONNX Runtime's part comes where it is asked for
      const result = await build({ ...SPLIT, splitting, stdin: { contents, resolveDir: project } });
      const { bytes } = downloadOf(result, "out/stdin.js");
      console.log(`${names}: ${bytes} bytes`);
      expect(bytes).toBeGreaterThan(most / 4);
      expect(bytes).toBeLessThanOrEqual(most);
    });
  }
});

describe("its types", () => {
  it("are right by publint", () => {
    expect(run(join(BIN, "publint"), ["run", tarball, "--strict"])).toContain("All good!");
  });

  it("are right by @arethetypeswrong/cli for ES modules", () => {
    const said = run(join(BIN, "attw"), [tarball, "--profile", "esm-only", "--format", "json"]);
    const { analysis, problems } = JSON.parse(said);
    expect(Object.keys(analysis.entrypoints)).toEqual(
      expect.arrayContaining([".", "./worker", "./transformers", "./img-captioner"]),
    );
    const kinds = Object.keys(problems ?? {});
    expect(kinds.filter((kind) => !["NoResolution", "CJSResolvesToESM"].includes(kind))).toEqual(
      [],
    );
  });

  for (const mode of ["bundler", "node16", "nodenext"]) {
    it(`resolve under moduleResolution ${mode}`, () => {
      expect(run(join(BIN, "tsc"), ["-p", `tsconfig.${mode}.json`], project)).toBe("");
    });
  }
});
