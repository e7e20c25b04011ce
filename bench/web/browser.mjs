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

export async function launch(args = []) {
  const executablePath = execFileSync("which", [process.env.CHROMIUM ?? "chromium"], {
    encoding: "utf8",
  }).trim();
  return chromium.launch({ executablePath, args: ["--no-sandbox", ...args] });
}

/** A page of its own profile: an empty store and an empty HTTP cache. */
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

function statusOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return ""; // it has ended
  }
}

/**
 * Largest resident size that any renderer below process `root` ever had, in bytes: the kernel's own
 * high-water mark, so nothing is missed between samples.
 */
export function peakRenderer(root) {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const parents = new Map(pids.map((pid) => [pid, /^PPid:\s*(\d+)/m.exec(statusOf(pid))?.[1]]));
  const isBelow = (pid) => {
    for (let at = pid; at !== undefined && at !== "0"; at = parents.get(at)) {
      if (at === String(root)) {
        return true;
      }
    }
    return false;
  };
  let peak = 0;
  for (const pid of pids.filter(isBelow)) {
    let command = "";
    try {
      command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch {
      continue;
    }
    if (command.includes("--type=renderer")) {
      const kib = Number(/^VmHWM:\s*(\d+)/m.exec(statusOf(pid))?.[1] ?? 0);
      peak = Math.max(peak, kib * 1024);
    }
  }
  return peak;
}
