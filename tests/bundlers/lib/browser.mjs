// Chromium of the system, by the driver of web/.
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { ROOT } from "./project.mjs";

const { chromium } = createRequire(join(ROOT, "web/package.json"))("playwright-core");

function settings(args) {
  const name = process.env.CHROMIUM ?? "chromium";
  const executablePath = execFileSync("which", [name], { encoding: "utf8" }).trim();
  // As in web/test/lib/browser.ts: optimizing 14 MB of WebAssembly gains nothing here.
  return { executablePath, args: ["--no-sandbox", "--js-flags=--liftoff-only", ...args] };
}

export const launch = () => chromium.launch(settings([]));

export function launchWithExtension(profile, extension) {
  const args = [`--disable-extensions-except=${extension}`, `--load-extension=${extension}`];
  const ignoreDefaultArgs = ["--disable-extensions"];
  return chromium.launchPersistentContext(profile, { ...settings(args), ignoreDefaultArgs, timeout: 0 });
}

/** A page, and what went wrong on it; `problems` has what the console says as an error. */
export async function open(context, url) {
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  const problems = [];
  const urls = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  context.on("request", (request) => urls.push(request.url()));
  // Browsers ask for it by themselves.
  await context.route("**/favicon.ico", (route) => route.fulfill({ status: 204 }));
  await page.goto(url);
  return { page, problems, urls };
}

/** What the eight lines leave on the page. */
export async function captionOn(page) {
  await page.waitForFunction(() => document.querySelector("img")?.alt !== "");
  return page.evaluate(() => document.querySelector("img").alt);
}
