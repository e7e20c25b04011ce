// usage: node bench/web/measure.mjs PROGRAM SITE OUT [--quick] [--only PART]   (bench/web/run.sh makes SITE)
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { BareBrowser } from "./bare.mjs";
import { caption, computed, launch, launchProfile, load, open, peakRenderer, serve } from "./browser.mjs";
import { measureEngine } from "./engine.mjs";
import { report } from "./report.mjs";
import { throttle } from "./throttle.mjs";

const [program, site, out] = process.argv.slice(2);
const quick = process.argv.includes("--quick");
const only = process.argv.includes("--only") ? process.argv[process.argv.indexOf("--only") + 1] : undefined;
const wanted = (part) => only === undefined || only === part;
const SIDES = ["stock", "ours"];
const SMOLVLM = ["smolvlm-1-tile", "smolvlm-17-tiles"];
const IMAGES = { demo: "/images/scene.png", real: "/images/card.png", old: "/images/card.png" };
const GUIDE = [
  ["real", "fp32"],
  ["real", "q8"],
  ["real", "q4"],
  ["old", "fp32"],
  ["old", "q8"],
];
const TOKENS = { demo: 30, real: 25, old: 25 };

/** What `lorapress bench --json` found of a folder, by dtype. */
function native(model) {
  const { dtypes } = JSON.parse(readFileSync(join(out, `native-${model}.json`), "utf8"));
  return Object.fromEntries(dtypes.map((one) => [one.dtype, one]));
}

/** One page per side in one browser, taking turns. */
async function captions(origin, { model, dtype, threads, rounds }) {
  const browser = await launch();
  const pages = {};
  const found = { model, dtype, threads, stock: [], ours: [] };
  for (const side of SIDES) {
    pages[side] = await open(browser, `${origin}/${side}.html`);
    found[`${side}LoadMs`] = await load(pages[side], { folder: `/models/${model}`, dtype, threads });
  }
  // The first captions run while the browser still compiles.
  const warm = 3;
  for (let round = 0; round < warm + rounds; ++round) {
    const ids = {};
    for (const side of round % 2 === 0 ? SIDES : [...SIDES].reverse()) {
      const before = computed();
      const said = await caption(pages[side], IMAGES[model], TOKENS[model]);
      ids[side] = said.ids;
      if (round === 0) {
        found[`${side}First`] = said.ms;
      }
      if (round >= warm) {
        const { ms, timings } = said;
        found[side].push({ ms, cpuMs: computed() - before, timings });
      }
    }
    // 8 and 4 bit round otherwise in the own engine, so ids may differ; the work does not.
    assert.equal(ids.ours.length, ids.stock.length, `${model} ${dtype}: another number of tokens`);
    found.tokens = ids.ours.length;
  }
  await browser.close();
  return found;
}

/**
 * SmolVLM beside its processor and model in transformers.js. Their canvas resizes other than Pillow, so ids may
 * differ; both generate the same number of tokens.
 */
async function smolvlm(origin, { model, dtype, threads, rounds }) {
  const browser = await launch();
  const pages = {};
  const found = { model, dtype, threads, tokens: 20, stock: [], ours: [] };
  for (const side of SIDES) {
    pages[side] = await open(browser, `${origin}/${side}.html`);
    const prompt = "Can you describe this image?";
    await load(pages[side], { folder: `/models/${model}`, dtype, threads, prompt });
  }
  for (let round = 0; round <= rounds; ++round) {
    for (const side of round % 2 === 0 ? SIDES : [...SIDES].reverse()) {
      const before = computed();
      const { ms, ids, timings } = await caption(pages[side], "/images/large.png", found.tokens);
      assert.equal(ids.length, found.tokens, `${model} ${side}: ended early`);
      if (round > 0) {
        found[side].push({ ms, cpuMs: computed() - before, timings });
      }
    }
  }
  await browser.close();
  return found;
}

/** Loading and one caption, in a browser of its own. */
async function memory(origin, side, { model, dtype }) {
  const folder = join(out, "profile");
  rmSync(folder, { recursive: true, force: true });
  const browser = new BareBrowser(folder);
  const page = await browser.open(`${origin}/${side}.html`);
  await load(page, { folder: `/models/${model}`, dtype, threads: 1 });
  const loaded = peakRenderer();
  await caption(page, IMAGES[model], 5);
  const bytes = Math.max(loaded, peakRenderer());
  await browser.close();
  return bytes;
}

/** From the page's script to a model that is ready, everything stored by a visit before. */
async function visits(origin, { model, dtype, rounds }) {
  const folder = join(out, "profile");
  rmSync(folder, { recursive: true, force: true });
  const found = { model, dtype, stock: [], ours: [] };
  for (let round = 0; round <= rounds; ++round) {
    for (const side of round % 2 === 0 ? SIDES : [...SIDES].reverse()) {
      const context = await launchProfile(folder); // a new browser: nothing in memory
      const page = await open(undefined, `${origin}/${side}.html`, context);
      const ms = await load(page, { folder: `/models/${model}`, dtype, threads: 1 });
      if (round > 0) {
        found[side].push({ ms });
      } else {
        found[`${side}First`] = ms;
        await page.waitForTimeout(2000); // the store may still write
      }
      await context.close();
    }
  }
  return found;
}

/** The chunks of the real-shape fp32 model, written by one browser and read by the next; MB/s. */
async function stores(origin, { count, rounds }) {
  const found = {};
  const kinds = ["IndexedDB", "OPFS", "OPFS, synchronous"];
  for (let round = 0; round < rounds; ++round) {
    for (const store of round % 2 === 0 ? kinds : [...kinds].reverse()) {
      const folder = join(out, "profile");
      rmSync(folder, { recursive: true, force: true });
      for (const stage of ["write", "read"]) {
        const context = await launchProfile(folder);
        const page = await open(undefined, `${origin}/stores.html`, context);
        const what = { store, stage, count };
        const ms = await page.evaluate((w) => globalThis.side.measure(w), what);
        found[store] ??= { write: [], read: [] };
        found[store][stage].push((count * 2 ** 23) / 1e3 / ms);
        await context.close();
      }
    }
  }
  return found;
}

/** A caption that is asked for at once, on a slow line. Times in ms since the page began to load. */
async function lazy(origin, { model, dtype, bytesPerSecond }) {
  const slow = await throttle(origin, bytesPerSecond);
  const browser = await launch();
  const page = await open(browser, `${slow.origin}/ours.html`);
  const start = Date.now();
  await load(page, { folder: `/models/${model}`, dtype, threads: 1, wait: false });
  const said = await caption(page, IMAGES[model], TOKENS[model]);
  const { preprocessMs, encoderWaitMs, encodeMs } = said.timings;
  const lastOf = (part) =>
    Math.max(...[...slow.last].filter(([path]) => path.includes(part)).map(([, at]) => at - start));
  const found = {
    model,
    dtype,
    bytesPerSecond,
    encoderArrived: lastOf("/encoder_model"),
    encodeEnded: said.startMs + preprocessMs + encoderWaitMs + encodeMs,
    decoderArrived: lastOf("/decoder_model_merged"),
    captionEnded: said.endMs,
  };
  assert(found.encodeEnded < found.decoderArrived, "the image was not encoded before the decoder came");
  await browser.close();
  slow.stop();
  return found;
}

const server = await serve(program, site);
process.on("exit", () => server.stop());
const say = (text) => console.error(`bench-web: ${text}`);
const rounds = quick ? 5 : 15;
const results = {
  machine: `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores`,
  load: loadavg()[0],
  quick,
  captions: [],
  visits: [],
};

function save() {
  writeFileSync(join(out, "latest.json"), `${JSON.stringify(results, null, 1)}\n`);
  const text = report(results);
  writeFileSync(join(out, "latest.md"), text);
  return text;
}

if (wanted("engine")) {
  const keep = (found) => {
    results.engine = found;
    save();
  };
  await measureEngine({ origin: server.origin, site, out, quick, say, keep });
}
if (wanted("captions")) {
  for (const part of [
    { model: "demo", dtype: "q8", threads: 1, rounds: rounds * 2 },
    { model: "demo", dtype: "q8", threads: 2, rounds: rounds * 2 },
    { model: "demo", dtype: "q8", threads: undefined, rounds: rounds * 2 }, // what each takes by itself
    { model: "real", dtype: "q8", threads: 1, rounds },
    { model: "real", dtype: "q8", threads: 2, rounds },
  ]) {
    say(`captions: ${part.model} ${part.dtype}, ${part.threads ?? "default"} threads`);
    results.captions.push(await captions(server.origin, part));
    save(); // what is measured stays, whatever happens
  }
}
if (wanted("smolvlm")) {
  for (const model of SMOLVLM) {
    say(`captions: ${model}`);
    const part = { model, dtype: "q8", threads: 2, rounds: quick ? 2 : 5 };
    results.captions.push(await smolvlm(server.origin, part));
    save();
  }
}
if (wanted("old")) {
  for (const dtype of ["q8", "fp32"]) {
    for (const threads of [1, 2]) {
      say(`captions: the old architecture, ${dtype}, ${threads} threads`);
      results.captions.push(await captions(server.origin, { model: "old", dtype, threads, rounds }));
      save();
    }
  }
}
if (only === "guide") {
  results.guide = { real: native("real"), old: native("old") };
  for (const [model, dtype] of GUIDE) {
    say(`guide: ${model} ${dtype}`);
    const part = { model, dtype, threads: 2, rounds: quick ? 2 : 7 };
    results.captions.push(await captions(server.origin, part));
    save();
  }
}
if (wanted("memory")) {
  const fp32 = { model: "real", dtype: "fp32" };
  results.memory = { ...fp32 };
  for (const side of SIDES) {
    say(`memory: ${side}`);
    results.memory[side] = await memory(server.origin, side, fp32);
  }
  save();
}
if (wanted("visits")) {
  for (const dtype of ["q8", "fp32"]) {
    say(`second visit: ${dtype}`);
    results.visits.push(await visits(server.origin, { model: "real", dtype, rounds: quick ? 2 : 7 }));
    save();
  }
}
if (wanted("lazy")) {
  say("a slow line");
  results.lazy = await lazy(server.origin, { model: "real", dtype: "q8", bytesPerSecond: 10e6 });
  save();
}
if (wanted("stores")) {
  say("stores");
  results.stores = await stores(server.origin, { count: 106, rounds: quick ? 3 : 7 });
}
server.stop();
console.log(save());
