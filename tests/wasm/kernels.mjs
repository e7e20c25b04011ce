// Runs a module of kernels_check.cc in Chromium and prints what it found; fails where a kernel differs from scalar.
// usage: node tests/wasm/kernels.mjs relaxed|simd128 MODULE.wasm      relaxed: also as hosts have it that multiply pairs
import { readFileSync } from "node:fs";
import { launch, PAIRS, relaxedSet } from "./host.mjs";

const [vectors, path] = process.argv.slice(2);

async function check(flags) {
  const browser = await launch(flags);
  try {
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(0);
    const found = await page.evaluate(async (base64) => {
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      const module = await WebAssembly.compile(bytes);
      const stubs = {}; // of the C library; nothing here reads files or the clock
      for (const { module: from, name } of WebAssembly.Module.imports(module)) {
        stubs[from] ??= {};
        stubs[from][name] = () => 52; // ENOSYS
      }
      const { exports } = await WebAssembly.instantiate(module, stubs);
      exports._initialize();
      const text = (at) => {
        const rest = new Uint8Array(exports.memory.buffer, at);
        return new TextDecoder().decode(rest.slice(0, rest.indexOf(0)));
      };
      const strings = (get) => {
        const all = [];
        for (let at = get(0); at !== 0; at = get(all.length)) {
          all.push(text(at));
        }
        return all;
      };
      return { sets: strings(exports.set_name), checks: strings(exports.check) };
    }, readFileSync(path).toString("base64"));
    const wrong = found.checks.filter((check) => check !== "");
    const sets = [...new Set(found.sets)].join(" ");
    const best = vectors === "relaxed" ? relaxedSet(flags) : "wasm_simd128";
    const wanted = best === "wasm_relaxed_dot" ? `wasm_relaxed ${best}` : best;
    if (sets !== wanted || found.checks.length === 0 || wrong.length > 0) {
      throw new Error(`${path} ${flags}: sets ${sets}, expected ${wanted}; ${found.checks.length} checks; ${wrong.join("; ")}`);
    }
    console.log(`${sets}: ${found.checks.length} checks equal to scalar`);
  } finally {
    await browser.close();
  }
}

for (const flags of vectors === "relaxed" ? ["", PAIRS] : [""]) await check(flags);
