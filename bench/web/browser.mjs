// Chromium of the system, one server, and what a renderer's memory came to.
import { execFileSync, spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const fromWeb = createRequire(join(ROOT, "web/package.json"));
const { chromium } = fromWeb("playwright-core");

/** Starts `lorapress serve`; resolves with its address. */
export async function serve(program, folder) {
  const child = spawn(program, ["serve", folder, "--port", "0", "--json"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const url = await new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (piece) => {
      text += piece;
      if (text.includes("\n")) {
        resolve(JSON.parse(text).url);
      }
    });
    child.on("exit", (code) => reject(new Error(`lorapress serve ended with ${code}`)));
  });
  child.removeAllListeners("exit");
  return { origin: new URL(url).origin, stop: () => child.kill() };
}

export function chromiumPath() {
  return execFileSync("which", [process.env.CHROMIUM ?? "chromium"], { encoding: "utf8" }).trim();
}

const settings = () => ({ executablePath: chromiumPath(), args: ["--no-sandbox"] });

export const launch = () => chromium.launch(settings());

/** With a profile in `folder`: what pages store is on disk, as at a visitor's. */
export const launchProfile = (folder) => chromium.launchPersistentContext(folder, settings());

/** A page of `context` (default: a profile of its own), ready to be told what to do. */
export async function open(browser, address, context) {
  const own = context ?? (await browser.newContext());
  const page = await own.newPage();
  page.on("pageerror", (error) => console.error(`${address}: ${error.message}`));
  await page.goto(address);
  await page.waitForFunction(() => globalThis.side !== undefined);
  return page;
}

export const load = (page, options) => page.evaluate((o) => globalThis.side.load(o), options);

export const caption = (page, image, tokens) =>
  page.evaluate(([i, n]) => globalThis.side.caption(i, n), [image, tokens]);

function read(pid, name) {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return ""; // it has ended
  }
}

/** Renderers below this process. */
function renderers() {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const parents = new Map(pids.map((pid) => [pid, /^PPid:\s*(\d+)/m.exec(read(pid, "status"))?.[1]]));
  const isOurs = (pid) => {
    for (let at = pid; at !== undefined && at !== "0"; at = parents.get(at)) {
      if (at === String(process.pid)) {
        return true;
      }
    }
    return false;
  };
  return pids.filter((pid) => isOurs(pid) && read(pid, "cmdline").includes("--type=renderer"));
}

/**
 * Largest resident size that any renderer ever had, in bytes: the kernel's own high-water mark, so nothing
 * is missed between samples.
 */
export function peakRenderer() {
  const peaks = renderers().map((pid) => Number(/^VmHWM:\s*(\d+)/m.exec(read(pid, "status"))?.[1] ?? 0));
  return Math.max(0, ...peaks) * 1024;
}

/** Milliseconds that renderers have computed, all threads together; in steps of 10. */
export function computed() {
  const ticks = renderers().map((pid) => {
    const [, rest = ""] = read(pid, "stat").split(") ");
    const fields = rest.split(" ");
    return Number(fields[11] ?? 0) + Number(fields[12] ?? 0); // utime and stime
  });
  return ticks.reduce((sum, one) => sum + one, 0) * 10;
}

/** Milliseconds that the first threads of renderers have computed, where scripts of pages run; in steps of nanoseconds. */
export const processorMs = () => renderers().reduce((sum, pid) => sum + Number(read(pid, "schedstat").split(" ")[0]) / 1e6, 0);
