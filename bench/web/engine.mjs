// The project's own engine beside stock transformers.js and beside ONNX Runtime under the same package: `--only engine`.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { BareBrowser } from "./bare.mjs";
import { caption, launch, load, open, peakRenderer } from "./browser.mjs";

const STOCK = { name: "stock q8", page: "stock", dtype: "q8" };
const ORT = { name: "LoraPress, ONNX Runtime, q8", page: "ours", engine: "ort", dtype: "q8" };
const own = (dtype, more = {}, note = "") => ({
  name: `LoraPress, own engine, ${dtype}${note}`,
  page: "ours",
  engine: "native",
  dtype,
  ...more,
});
const PLAIN = own("q4f16", { plain: true }, ", plain SIMD128");
const RIVALS = [STOCK, ORT];

/** Each group in one browser, a page for each side, taking turns; ratios are to its first side. */
const GROUPS = [
  {
    name: "real shape, 1 thread",
    model: "real",
    threads: 1,
    sides: [...RIVALS, own("q4f16"), own("q4"), own("q8"), own("auto"), PLAIN],
  },
  {
    name: "real shape, 2 threads",
    model: "real",
    threads: 2,
    sides: [...RIVALS, own("q4f16"), own("q4"), own("q8"), own("auto")],
  },
  { name: "demo, 1 thread", model: "demo", threads: 1, sides: [...RIVALS, own("auto"), own("q8")], often: 2 },
  {
    name: "real shape, a foreign job on one core",
    model: "real",
    busy: true,
    sides: [own("q4f16", { threads: 1 }, ", 1 thread"), own("q4f16", { threads: 2 }, ", 2 threads")],
  },
];
/** The image is there when the page begins to load the model (`wait`: false), or comes when all is loaded. */
const UNKEPT = [
  own("q4f16", { keepEncoder: false, wait: false }, ", encoder not kept, an image that waits"),
  own("q4f16", { keepEncoder: false }, ", encoder not kept"),
];
const WARM = 2; // captions while the browser still compiles
const IMAGES = { demo: "/images/scene.png", real: "/images/card.png" };
const TOKENS = { demo: 30, real: 25 };

const optionsOf = ({ model, threads }, { page: _, name: __, ...side }) => ({
  folder: `/models/${model}`,
  threads,
  ...side,
});

async function group(origin, given, rounds) {
  const burner = given.busy ? spawn(process.execPath, ["-e", "for (;;) {}"]) : undefined;
  const browser = await launch();
  const found = given.sides.map(({ name }) => ({ name, runs: [] }));
  try {
    const pages = [];
    for (const [i, side] of given.sides.entries()) {
      pages[i] = await open(browser, `${origin}/${side.page}.html`);
      found[i].loadMs = await load(pages[i], optionsOf(given, side));
      if (side.page === "ours") {
        found[i].info = await pages[i].evaluate(() => globalThis.side.info());
        assert.equal(found[i].info.engine, side.engine);
      }
    }
    const order = given.sides.map((_, i) => i);
    for (let round = 0; round < WARM + rounds * (given.often ?? 1); ++round) {
      for (const i of round % 2 === 0 ? order : [...order].reverse()) {
        const { ms, ids, timings } = await caption(pages[i], IMAGES[given.model], TOKENS[given.model]);
        found[i].tokens = ids.length;
        if (round === 0) {
          found[i].firstMs = ms;
        }
        if (round >= WARM) {
          found[i].runs.push({ ms, timings });
        }
      }
    }
  } finally {
    await browser.close();
    burner?.kill();
  }
  return { name: given.name, sides: found };
}

/** The page's script, runtime and engine: how many bytes come, as they lie there and packed. */
async function download(origin, site, side) {
  const browser = await launch();
  const context = await browser.newContext();
  const urls = new Set();
  context.on("request", (request) => urls.add(request.url()));
  const page = await open(undefined, `${origin}/${side.page}.html`, context);
  await load(page, optionsOf({ model: "demo", threads: 2 }, side));
  await browser.close();
  const paths = [...urls].map((url) => new URL(url).pathname).filter((path) => /\.(js|mjs|wasm)$/.test(path));
  const files = paths.map((path) => readFileSync(join(site, path)));
  const sum = (sizes) => sizes.reduce((all, size) => all + size, 0);
  return {
    name: side.name,
    files: paths.length,
    bytes: sum(files.map((file) => file.length)),
    packed: sum(files.map((file) => gzipSync(file).length)),
  };
}

/** First and second visit, each in a browser of its own: ready, then one caption; and the renderer's most memory. */
async function visit(origin, out, side, rounds) {
  const folder = join(out, "profile");
  rmSync(folder, { recursive: true, force: true });
  const found = { name: side.name, second: [], memory: [] };
  for (let round = 0; round <= rounds; ++round) {
    const browser = new BareBrowser(folder);
    const page = await browser.open(`${origin}/${side.page}.html`);
    const ms = await load(page, optionsOf({ model: "real", threads: 1 }, side));
    const loaded = peakRenderer();
    await caption(page, IMAGES.real, 5);
    found.memory.push(Math.max(loaded, peakRenderer()));
    if (round === 0) {
      found.firstMs = ms;
      await new Promise((resolve) => setTimeout(resolve, 2000)); // the store may still write
    } else {
      found.second.push({ ms });
    }
    await browser.close();
  }
  return found;
}

/** Calls `keep` with what is there so far. */
export async function measureEngine({ origin, site, out, quick, say, keep }) {
  const found = { groups: [], downloads: [], visits: [] };
  for (const one of GROUPS) {
    say(`engine: ${one.name}`);
    found.groups.push(await group(origin, one, quick ? 5 : 15));
    keep(found);
  }
  for (const side of [...RIVALS, own("auto")]) {
    say(`engine: download of ${side.name}`);
    found.downloads.push(await download(origin, site, side));
  }
  keep(found);
  for (const side of [...RIVALS, own("q4f16"), ...UNKEPT]) {
    say(`engine: visits, ${side.name}`);
    found.visits.push(await visit(origin, out, side, quick ? 2 : 5));
    keep(found);
  }
}
