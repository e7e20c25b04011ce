// A picture of the demo page with captions, for the README: the page that `make demo` left, served by
// `lorapress serve`, in Chromium. Ends with an error when a caption is not the one of PyTorch.
// usage: node tools/screenshot.mjs [PAGE [OUT.png]]   PAGE: ../build/demo-page, OUT: ../docs/images/demo.png
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const ROOT = resolve(fileURLToPath(import.meta.url), "../../..");
const IMAGES = join(ROOT, "models/demo/images");
// The last stands first on the page.
const FILES = [
  "scene-10000003.png",
  "scene-10000001.png",
  "scene-10000002.png",
  "wide-256x192.jpg",
];

const program = process.env["LORAPRESS"] ?? join(ROOT, "build/lorapress");
const page = process.argv[2] ?? join(ROOT, "build/demo-page");
const out = process.argv[3] ?? join(ROOT, "docs/images/demo.png");

/** @param {string} url */
async function picture(url) {
  const name = process.env["CHROMIUM"] ?? "chromium";
  const executablePath = execFileSync("which", [name], { encoding: "utf8" }).trim();
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  try {
    const viewport = { width: 1100, height: 880 };
    const tab = await browser.newPage({ viewport, colorScheme: "light" });
    await tab.goto(url);
    const ready = () => document.getElementById("state")?.textContent?.startsWith("Ready");
    await tab.waitForFunction(ready);
    const expected = JSON.parse(readFileSync(join(IMAGES, "captions.json"), "utf8"));
    for (const [i, file] of FILES.entries()) {
      await tab.setInputFiles("#files", join(IMAGES, file));
      const done = (/** @type {number} */ count) =>
        document.querySelectorAll(".card button:enabled").length === count;
      await tab.waitForFunction(done, i + 1);
    }
    const texts = await tab.locator(".card .text").allTextContents();
    const wrong = texts.reverse().find((text, i) => text !== expected[FILES[i] ?? ""]);
    if (wrong !== undefined) {
      throw new Error(`a caption is not PyTorch's: ${wrong}`);
    }
    mkdirSync(dirname(out), { recursive: true });
    await tab.screenshot({ path: out });
  } finally {
    await browser.close();
  }
}

const server = spawn(program, ["serve", page, "--port", "0", "--json"], {
  stdio: ["ignore", "pipe", "inherit"],
});
try {
  for await (const line of createInterface({ input: server.stdout })) {
    await picture(JSON.parse(line).url);
    console.log(`${out}: ${statSync(out).size} bytes`);
    break;
  }
} finally {
  server.kill();
}
if (server.exitCode !== null && server.exitCode !== 0) {
  process.exitCode = 1; // it has said why
}
