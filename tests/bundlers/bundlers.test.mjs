// The packed package in Vite, webpack, Rollup and esbuild as they come, and in Node, Bun and Deno.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { captionOn, launch, open } from "./lib/browser.mjs";
import {
  addModel,
  BUN,
  build,
  CAPTION,
  DENO,
  EXAMPLES,
  IMAGE,
  installByNpm,
  MAIN,
  makeProject,
  OTHER_VITES,
  ROOT,
  run,
  siteOf,
  startVite,
  VITE,
} from "./lib/project.mjs";
import { serve } from "./lib/server.mjs";

const NAMES = Object.keys(MAIN); // pages.test.mjs opens the others
const REMEDY = /^.*\/lorapress\/worker\.js is missing \((HTTP status 404|a page)\); .*add to the build: npx lorapress-copy FOLDER/;
// Behind the eight lines, for tests that want more than they do.
const GLOBAL = `
import * as lorapress from "lorapress";
globalThis.lorapress = lorapress;
`;
// For bundlers that look for workers.
const OWN_WORKER = `
globalThis.ownWorker = () => new Worker(new URL("lorapress/worker", import.meta.url), { type: "module" });
`;
const FINDS_WORKERS = ["vite", "webpack"];

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** The folder of the one project of each bundler, where tests go on from what those before them have built. */
const projects = {};
const project = (name) => (projects[name] ??= makeProject(name));

function addGlobal(name) {
  const lines = readFileSync(join(EXAMPLES, name, MAIN[name]), "utf8");
  const own = FINDS_WORKERS.includes(name) ? OWN_WORKER : "";
  writeFileSync(join(project(name), MAIN[name]), lines + GLOBAL + own);
}

function removeGlobal(name) {
  cpSync(join(EXAMPLES, name, MAIN[name]), join(project(name), MAIN[name]));
}

async function served(folder, options, look) {
  const server = await serve(folder, options);
  try {
    await look(`${server.origin}/`);
  } finally {
    server.stop();
  }
}

async function withVite(command, look, version = VITE) {
  const server = await startVite(project("vite"), command, version);
  try {
    await look(`${server.origin}/`, server.said);
  } finally {
    server.stop();
  }
}

/** Opens a page in a profile of its own. */
async function visit(url, look) {
  const context = await browser.newContext();
  try {
    const opened = await open(context, url);
    return await look(opened);
  } finally {
    await context.close();
  }
}

/** The eight lines say what PyTorch said, in a worker, with nothing from elsewhere. */
async function assertCaptions(url) {
  await visit(url, async ({ page, problems, urls }) => {
    assert.equal(await captionOn(page), CAPTION);
    assert.equal(page.workers().length, 1);
    assert.deepEqual(problems, []);
    const origin = new URL(url).origin;
    assert.deepEqual(urls.filter((one) => new URL(one).origin !== origin), []);
  });
}

/** On a page with GLOBAL: the caption and the threads of each of `ways` to load. */
const captionsBy = (page, ways) =>
  page.evaluate(async (all) => {
    const found = [];
    for (const options of all) {
      const worker = options.worker === "own" ? { worker: ownWorker() } : {};
      const captioner = await lorapress.Captioner.load("model/", { ...options, ...worker });
      const { text } = await captioner.caption("image.png");
      found.push([text, captioner.info.threads]);
      await captioner.dispose();
    }
    return found;
  }, ways);

/** On a page with GLOBAL: why the model does not become ready. */
const readyError = (page, options) =>
  page.evaluate(async (given) => {
    const captioner = await lorapress.Captioner.load("model/", given);
    return captioner.ready.catch(({ message }) => message);
  }, options);

// The own engine has one thread outside of a worker.
const TWO_THREADS = [{ threads: 2 }, { threads: 2, worker: false }, { threads: 2, engine: "ort" }];

describe("docs/web.md", () => {
  const text = readFileSync(join(ROOT, "docs/web.md"), "utf8");
  const [first, second] = [...text.matchAll(/```(\w+)\n([^`]*)```/g)].map(([, kind, lines]) => ({ kind, lines }));

  it("begins with npm install lorapress and eight lines", () => {
    assert.deepEqual(first, { kind: "sh", lines: "npm install lorapress\n" });
    assert.equal(second.kind, "js");
    assert.equal(second.lines.trimEnd().split("\n").length, 8);
  });

  for (const name of NAMES) {
    it(`has the lines of examples/bundlers/${name}`, () => {
      assert.equal(readFileSync(join(EXAMPLES, name, MAIN[name]), "utf8"), second.lines);
    });
  }

  it("tells esbuild's and Rollup's line as the error does", () => {
    assert.ok(text.includes("npx lorapress-copy FOLDER"));
  });
});

describe("the examples", () => {
  it("name the versions that are tested, and this package's", () => {
    const versions = JSON.parse(readFileSync(join(ROOT, "tests/bundlers/package.json"), "utf8")).devDependencies;
    const { version } = JSON.parse(readFileSync(join(ROOT, "web/package.json"), "utf8"));
    for (const name of NAMES) {
      const example = JSON.parse(readFileSync(join(EXAMPLES, name, "package.json"), "utf8"));
      assert.deepEqual(example.dependencies, { lorapress: version });
      for (const [tool, wanted] of Object.entries(example.devDependencies)) {
        assert.equal(versions[tool], wanted, tool);
      }
      const configured = readdirSync(join(EXAMPLES, name)).filter((file) => file.includes("config"));
      assert.deepEqual(configured, []);
    }
  });
});

for (const name of NAMES) {
  describe(name, () => {
    it("builds the eight lines as it comes, and they caption under a strict policy", async () => {
      const folder = project(name);
      addGlobal(name);
      build(name, folder);
      await served(siteOf(name, folder), {}, (url) => assertCaptions(url));
    });

    it("has two threads where the page is isolated", async () => {
      // What a page that is not isolated gets is the same for all.
      for (const isolated of name === "esbuild" ? [true, false] : [true]) {
        await served(siteOf(name, project(name)), { isolated }, (url) =>
          visit(url, async ({ page, problems }) => {
            await captionOn(page);
            const threads = isolated ? 2 : 1;
            assert.deepEqual(await captionsBy(page, TWO_THREADS), [[CAPTION, threads], [CAPTION, 1], [CAPTION, threads]]);
            if (FINDS_WORKERS.includes(name)) {
              assert.deepEqual(await captionsBy(page, [{ threads: 2, worker: "own" }]), [[CAPTION, threads]]);
            }
            assert.deepEqual(problems, []);
          }),
        );
      }
    });
  });
}

describe("vite", () => {
  it("captions from its preview", () => withVite("preview", (url) => assertCaptions(url)));

  it("captions with the eight lines alone from its development server", async () => {
    removeGlobal("vite");
    await withVite("dev", async (url, said) => {
      await assertCaptions(url);
      assert.doesNotMatch(said(), /error|warning|optimized/i);
    });
  });

  for (const version of OTHER_VITES) {
    it(`captions from the development server and the build of Vite ${version}`, async () => {
      await withVite("dev", (url) => assertCaptions(url), version);
      build("vite", project("vite"), version);
      await served(siteOf("vite", project("vite")), {}, (url) => assertCaptions(url));
    });
  }

  it("has two threads in development where the page is isolated, and its client stays out of workers", async () => {
    addGlobal("vite");
    const headers = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
    const config = `export default { server: { headers: ${JSON.stringify(headers)} } };\n`;
    writeFileSync(join(project("vite"), "vite.config.js"), config);
    await withVite("dev", (url) =>
      visit(url, async ({ page, problems, urls }) => {
        await captionOn(page);
        assert.deepEqual(await captionsBy(page, TWO_THREADS), [[CAPTION, 2], [CAPTION, 1], [CAPTION, 2]]);
        assert.deepEqual(problems, []);
        assert.equal(urls.filter((one) => one.includes("/@vite/client")).length, 1);
      }),
    );
  });
});

describe("esbuild and Rollup copy no files", () => {
  const ways = {
    esbuild: (entry) => [entry, "--bundle", "--outdir=dist"],
    rollup: (entry) => [entry, "--plugin", "node-resolve", "--dir", "dist"],
  };
  const refusals = { esbuild: /No loader is configured for "\.wasm" files/, rollup: /RollupError/ };
  const bundle = (name, entry) => {
    const folder = project(name);
    rmSync(join(folder, "dist"), { recursive: true, force: true });
    return run(join(folder, "node_modules/.bin", name), ways[name](entry), folder);
  };

  for (const name of Object.keys(ways)) {
    it(`${name}: it cannot: it leaves new URL() as it stands and takes no .wasm`, () => {
      const folder = project(name);
      writeFileSync(join(folder, "wasm.js"), 'import "onnxruntime-web/ort-wasm-simd-threaded.wasm";\n');
      assert.throws(() => bundle(name, "wasm.js"), (error) => refusals[name].test(error.stderr));
      bundle(name, MAIN[name]);
      // Modules of scripts; nothing that these load by its address.
      assert.deepEqual(readdirSync(join(folder, "dist")).filter((file) => !/^chunk-[\w-]+\.js$/.test(file)), ["main.js"]);
      const made = readFileSync(join(folder, "dist/main.js"), "utf8");
      assert.match(made, /new URL\("onnxruntime-web\/ort-wasm-simd-threaded\.wasm", \w+(\.meta)?\.url\)/);
    });

    it(`${name}: without its line the page says which line that is`, async () => {
      for (const fallback of [false, true]) {
        await served(project(name), { fallback }, (url) =>
          visit(url, async ({ page }) => {
            await page.waitForFunction(() => "lorapress" in globalThis);
            const [code, message] = await page.evaluate(() =>
              lorapress.Captioner.load("model/").catch((error) => [error.code, error.message]),
            );
            assert.equal(code, "not_found");
            assert.match(message, REMEDY);
            assert.match(await readyError(page, { worker: false }), /lorapress\/engine_relaxed\.wasm is missing .* npx lorapress-copy/);
          }),
        );
      }
    });
  }

  it("names the engine's file that is missing; it may be somewhere else", async () => {
    const folder = project("esbuild");
    build("esbuild", folder);
    const files = { native: "engine_relaxed.wasm", ort: "ort-wasm-simd-threaded.wasm" };
    mkdirSync(join(folder, "engine"));
    renameSync(join(folder, "dist/lorapress", files.native), join(folder, "engine", files.native));
    renameSync(join(folder, "dist/onnxruntime-web", files.ort), join(folder, "engine", files.ort));
    await served(folder, {}, (url) =>
      visit(url, async ({ page }) => {
        await page.waitForFunction(() => "lorapress" in globalThis);
        for (const [engine, file] of Object.entries(files)) {
          const missing = new RegExp(`${file.replace(".", "\\.")} is missing \\(HTTP status 404\\); .*npx lorapress-copy`);
          assert.match(await readyError(page, { engine }), missing);
          assert.deepEqual(await captionsBy(page, [{ engine, enginePath: "engine" }]), [[CAPTION, 1]]);
        }
      }),
    );
  });
});

describe("lorapress-copy", () => {
  it("leaves out what is for WebGPU if told so, and explains itself", () => {
    const folder = project("esbuild");
    const program = join(folder, "node_modules/.bin/lorapress-copy");
    run(program, ["out", "--cpu"], folder);
    const builds = ["relaxed", "relaxed_threads", "simd128", "simd128_threads"];
    const engine = builds.map((build) => `engine_${build}.wasm`);
    assert.deepEqual(readdirSync(join(folder, "out/lorapress")).sort(), ["NOTICE", "THIRD_PARTY_LICENSES", "cpu.js", ...engine, "thread.js", "worker.js"]);
    assert.deepEqual(readdirSync(join(folder, "out/onnxruntime-web")), ["ort-wasm-simd-threaded.wasm"]);
    for (const args of [[], ["--help"], ["a", "b"]]) {
      assert.throws(() => run(program, args, folder), ({ status, stderr }) => status === 2 && /^usage: /.test(stderr));
    }
    assert.equal(existsSync(join(folder, "a")), false);
  });
});

/** Programs with their first arguments. Deno's may read files and the environment, as docs/web.md says, and here reach this machine's server. */
const RUNTIMES = {
  Node: [process.execPath],
  Bun: [BUN],
  Deno: [DENO, "run", "--allow-read", "--allow-env", "--allow-net=127.0.0.1"],
};

describe("without a page", () => {
  let folder;
  before(() => {
    folder = join(process.env.LORAPRESS_BUNDLERS_SCRATCH, "node");
    mkdirSync(folder);
    writeFileSync(join(folder, "package.json"), '{ "type": "module", "private": true }');
    installByNpm(folder);
    addModel(folder, ".");
    const { PNG } = createRequire(join(ROOT, "web/package.json"))("pngjs");
    const { width, height, data } = PNG.sync.read(readFileSync(join(ROOT, "models/demo/images", IMAGE)));
    writeFileSync(join(folder, "pixels.json"), JSON.stringify({ width, height, data: [...data] }));
  });
  const lines = `
    import { readFileSync } from "node:fs";
    import { Captioner } from "lorapress";
    import { install } from "lorapress/transformers";
    import { ImgCaptioner } from "lorapress/img-captioner"; // pages are rendered here, too
    const { width, height, data } = JSON.parse(readFileSync("pixels.json", "utf8"));
    const said = [typeof install, typeof ImgCaptioner];
    for (const place of process.argv.slice(2)) {
      try {
        const captioner = await Captioner.load(place);
        const { text } = await captioner.caption({ width, height, data: Uint8Array.from(data) });
        said.push(text + " " + captioner.info.engine);
      } catch (error) {
        said.push(error.code + " " + error.message);
      }
    }
    console.log(JSON.stringify(said));
    process.exit();
  `;

  for (const [name, [program, ...options]] of Object.entries(RUNTIMES)) {
    it(`captions with the same import, from a server and from the disk: ${name}`, async () => {
      await served(folder, {}, async (url) => {
        writeFileSync(join(folder, "main.js"), lines);
        const places = [`${url}model`, "model", "none", pathToFileURL(join(folder, "model")).href];
        const { stdout } = await promisify(execFile)(program, [...options, "main.js", ...places], { cwd: folder });
        const [installer, element, first, second, missing, third] = JSON.parse(stdout);
        const text = `${CAPTION} native`;
        assert.deepEqual([installer, element, first, second, third], ["function", "function", text, text, text]);
        assert.match(missing, /^not_found file:.*\/none\/lorapress\.json: no such file; is it in a folder/);
      });
    });
  }
});
