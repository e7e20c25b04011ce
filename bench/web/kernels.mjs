// Times the engine's kernels in Chromium, one thread: modules of kernels.cc take turns, case by case, in one page.
// usage: node bench/web/kernels.mjs [--only TEXT] MODULE.wasm[=SET]...     SET: one of the module's kernel sets, default its fastest
// Prints GMAC/s of products with many rows and of attention, GB/s of the others, and microseconds: least (median) of the
// processor's time, which a busy machine changes less than wall time.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { launch, processorMs } from "./browser.mjs";

const args = process.argv.slice(2);
const only = args[0] === "--only" ? args.splice(0, 2)[1] : "";
const modules = args.map((argument) => {
  const [path, set] = argument.split("=");
  return { name: basename(path, ".wasm"), set, base64: readFileSync(path).toString("base64") };
});
const ROUNDS = 15;

/** In the page: the modules' instances, and what cases they have. */
async function instantiate(given) {
  const text = ({ memory }, at) => {
    const rest = new Uint8Array(memory.buffer, at);
    return new TextDecoder().decode(rest.slice(0, rest.indexOf(0)));
  };
  const list = (exports, get) => {
    const all = [];
    for (let at = get(0); at !== 0; at = get(all.length)) all.push(text(exports, at));
    return all;
  };
  globalThis.instances = [];
  for (const { name, set, base64 } of given) {
    const module = await WebAssembly.compile(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
    const stubs = {};
    for (const { module: from, name } of WebAssembly.Module.imports(module)) {
      stubs[from] ??= {};
      stubs[from][name] = () => 52; // ENOSYS
    }
    const { exports } = await WebAssembly.instantiate(module, stubs);
    exports._initialize();
    const sets = list(exports, exports.set_name);
    if (set !== undefined && !sets.includes(set)) throw new Error(`${name}: no set ${set} runs here, but ${sets.join(", ")}`);
    exports.choose(set === undefined ? sets.length - 1 : sets.indexOf(set));
    globalThis.instances.push(exports);
  }
  const [first] = globalThis.instances;
  return list(first, first.case_name).map((name, index) => ({ name, work: first.case_work(index) }));
}

const browser = await launch();
try {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(0);
  const cases = await page.evaluate(instantiate, modules);
  const time = async (i, count) => {
    const begin = processorMs();
    await page.evaluate(([at, times]) => void globalThis.instances[at].run(times), [i, count]);
    return (1000 * (processorMs() - begin)) / count;
  };
  for (const [index, { name, work }] of cases.entries()) {
    if (!name.includes(only)) continue;
    const counts = [];
    for (const i of modules.keys()) {
      await page.evaluate(
        ([at, one]) => {
          const exports = globalThis.instances[at];
          exports.prepare(one);
          const begin = performance.now();
          do exports.run(1);
          while (performance.now() < begin + 300); // until the optimizing compiler is done
        },
        [i, index],
      );
      counts.push(Math.max(4, Math.round(40_000 / (await time(i, 8)))));
    }
    const times = modules.map(() => []);
    for (let round = 0; round < ROUNDS; ++round) {
      for (const i of modules.keys()) times[i].push(await time(i, counts[i]));
    }
    const cells = times.map((list) => {
      const [least, median] = [Math.min(...list), list.sort((a, b) => a - b)[list.length >> 1]];
      return `${(work / least / 1e3).toFixed(2).padStart(7)} (${(work / median / 1e3).toFixed(2)}) ${least.toFixed(0).padStart(6)} us`;
    });
    console.log(`${name.padEnd(36)}${cells.join("   ")}`);
  }
} finally {
  await browser.close();
}
