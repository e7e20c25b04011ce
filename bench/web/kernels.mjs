// Times the engine's kernels in Chromium, one thread: modules of kernels.cc take turns, case by case, in one page.
// usage: node bench/web/kernels.mjs [--only TEXT] MODULE.wasm...
// Prints GMAC/s of products with many rows and of attention, GB/s of the others, and microseconds: least (median).
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { launch } from "./browser.mjs";

const args = process.argv.slice(2);
const only = args[0] === "--only" ? args.splice(0, 2)[1] : "";
const modules = args.map((path) => ({ name: basename(path, ".wasm"), base64: readFileSync(path).toString("base64") }));

const browser = await launch();
try {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(0);
  const cases = await page.evaluate(async (given) => {
    const instances = [];
    for (const { base64 } of given) {
      const module = await WebAssembly.compile(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
      const stubs = {};
      for (const { module: from, name } of WebAssembly.Module.imports(module)) {
        stubs[from] ??= {};
        stubs[from][name] = () => 52; // ENOSYS
      }
      const { exports } = await WebAssembly.instantiate(module, stubs);
      exports._initialize();
      instances.push(exports);
    }
    globalThis.instances = instances;
    const text = (at) => {
      const rest = new Uint8Array(instances[0].memory.buffer, at);
      return new TextDecoder().decode(rest.slice(0, rest.indexOf(0)));
    };
    const names = [];
    for (let at = instances[0].case_name(0); at !== 0; at = instances[0].case_name(names.length)) names.push(text(at));
    return names.map((name, index) => ({ name, work: instances[0].case_work(index) }));
  }, modules);
  for (const [index, { name, work }] of cases.entries()) {
    if (!name.includes(only)) continue;
    const found = await page.evaluate(async (one) => {
      const times = globalThis.instances.map(() => []);
      const counts = globalThis.instances.map((exports) => {
        exports.prepare(one);
        exports.run(1);
        const begin = performance.now();
        for (let n = 0; performance.now() < begin + 250; ++n) exports.run(1); // until the optimizing compiler is done
        const again = performance.now();
        exports.run(4);
        return Math.max(1, Math.round((4 * 3) / (performance.now() - again + 0.001)));
      });
      for (let round = 0; round < 60; ++round) {
        for (const [i, exports] of globalThis.instances.entries()) {
          const begin = performance.now();
          exports.run(counts[i]);
          times[i].push((1000 * (performance.now() - begin)) / counts[i]);
        }
        if (round % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 0));
      }
      return times.map((list) => list.sort((a, b) => a - b)).map((list) => [list[0], list[list.length >> 1]]);
    }, index);
    const cells = found.map(([least, median]) => {
      return `${(work / least / 1e3).toFixed(2).padStart(7)} (${(work / median / 1e3).toFixed(2)}) ${least.toFixed(0).padStart(6)} us`;
    });
    console.log(`${name.padEnd(36)}${cells.join("   ")}`);
  }
} finally {
  await browser.close();
}
