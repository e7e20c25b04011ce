// Chromium, and which of the engine's sets of kernels it has for relaxed SIMD.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const executablePath = execFileSync("which", [process.env["CHROMIUM"] ?? "chromium"], { encoding: "utf8" }).trim();

/** Flags of V8 under which it multiplies pairs, on x86-64. */
export const PAIRS = "--no-enable-avx-vnni --no-enable-avx-vnni-int8";
export const launch = (flags = "") => chromium.launch({ executablePath, args: ["--no-sandbox", ...(flags && [`--js-flags=${flags}`])] });

/** The fastest set, from what Linux says of the processor: V8 has a product of four bytes where AVX-VNNI or dotprod is. */
export function relaxedSet(flags = "") {
  const cpu = readFileSync("/proc/cpuinfo", "utf8");
  const dot = process.arch === "arm64" ? /\basimddp\b/.test(cpu) : flags !== PAIRS && /\bavx_vnni\b/.test(cpu);
  return dot ? "wasm_relaxed_dot" : "wasm_relaxed";
}
