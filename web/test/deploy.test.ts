// `lorapress deploy`: a site that any static host serves. The host here sends no headers of its own, so the page is
// isolated by its service worker.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { launch } from "./lib/browser.js";
import { PROGRAM, pressed, ROOT, run } from "./lib/program.js";

const IMAGES = join(ROOT, "models/demo/images");
const CAPTIONS: Record<string, string> = JSON.parse(
  readFileSync(join(IMAGES, "captions.json"), "utf8"),
);
const FILES = ["scene-10000001.png", "scene-10000002.png"];
const SITE = pressed("site");
const deploy = (...options: string[]): string =>
  run(["deploy", pressed("demo"), SITE, "--page", pressed("demo-page"), ...options]);

let browser: Browser;
let server: ChildProcess;
let origin: string;
beforeAll(async () => {
  deploy("--license", "apache-2.0", "--base-model", "google/siglip-base-patch16-224");
  browser = await launch();
  const options = ["--bind", "127.0.0.1", "--directory", SITE];
  server = spawn("python3", ["-u", "-m", "http.server", "0", ...options], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [line] = await once(server.stdout as NonNullable<typeof server.stdout>, "data");
  origin = `http://127.0.0.1:${/port (\d+)/.exec(String(line))?.[1]}`;
});
afterAll(async () => {
  await browser.close();
  server.kill();
});

it("writes the page, the model and what hosts read headers from", () => {
  const model = JSON.parse(readFileSync(join(SITE, "model/lorapress.json"), "utf8"));
  for (const { path, bytes } of model.files) {
    expect(readFileSync(join(SITE, "model", path)).byteLength).toBe(bytes);
  }
  for (const name of ["_headers", ".htaccess", "vercel.json"]) {
    const text = readFileSync(join(SITE, name), "utf8");
    expect(text).toContain("Cross-Origin-Opener-Policy");
    expect(text).toContain("require-corp");
  }
  const { headers } = JSON.parse(readFileSync(join(SITE, "vercel.json"), "utf8"));
  expect(headers[0].headers).toContainEqual({
    key: "Cross-Origin-Embedder-Policy",
    value: "require-corp",
  });
  const card = readFileSync(join(SITE, "model/README.md"), "utf8");
  expect(card).toMatch(
    /^---\nlibrary_name: transformers\.js\npipeline_tag: image-to-text\nlicense: "apache-2\.0"\nbase_model:\n- "google\/siglip-base-patch16-224"\n/,
  );
});

it("is isolated by its service worker and captions on any host", async () => {
  const context = await browser.newContext();
  context.setDefaultTimeout(0);
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(error.message));
  const first = await page.goto(`${origin}/index.html`);
  expect(first?.headers()["cross-origin-embedder-policy"]).toBeUndefined();
  await page.waitForFunction(() => window.crossOriginIsolated);
  await page.setInputFiles(
    "#files",
    FILES.map((file) => join(IMAGES, file)),
  );
  await page.waitForFunction(
    (count) => document.querySelectorAll(".card button:enabled").length === count,
    FILES.length,
  );
  const texts = await page.locator(".card .text").allTextContents();
  expect(texts.reverse()).toEqual(FILES.map((file) => CAPTIONS[file]));
  const base64 = readFileSync(join(IMAGES, FILES[0] ?? "")).toString("base64");
  const found = await page.evaluate(`(async () => {
    const { Captioner } = await import(location.origin + "/lorapress.js");
    const image = new Blob([Uint8Array.from(atob("${base64}"), (c) => c.charCodeAt(0))]);
    const captioner = await Captioner.load("model/", { device: "wasm", threads: 2 });
    const { text } = await captioner.caption(image);
    return { text, threads: captioner.info.threads };
  })()`);
  expect(found).toEqual({ text: CAPTIONS[FILES[0] ?? ""], threads: 2 });
  expect(problems).toEqual([]);
  await context.close();
});

it("reloads once at most where it cannot be isolated", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  let loads = 0; // not by the event "load": the page may reload before it is loaded
  page.on("request", (request) => (loads += request.isNavigationRequest() ? 1 : 0));
  await page.addInitScript(() => {
    Object.defineProperty(window, "crossOriginIsolated", { value: false });
  });
  await page.goto(`${origin}/index.html`);
  await expect.poll(() => loads, { timeout: 60_000 }).toBe(2);
  await page.waitForTimeout(1000); // a third would come now
  expect(loads).toBe(2);
  await context.close();
});

it("replaces only a site of its own, and only with --force", () => {
  const refused = (...options: string[]): string => {
    try {
      deploy(...options);
    } catch (error) {
      return String((error as { stderr: unknown }).stderr);
    }
    return "";
  };
  expect(refused()).toContain("exists");
  deploy("--force");
  writeFileSync(join(SITE, "model/lorapress.json.old"), "");
  deploy("--force");
  expect(readdirSync(join(SITE, "model"))).not.toContain("lorapress.json.old");
  for (const [folder, word] of [
    [pressed("base"), "LoraPress wrote"],
    [pressed("demo"), "read"],
  ] as const) {
    let message = "";
    try {
      run(["deploy", pressed("demo"), folder, "--page", pressed("demo-page"), "--force"]);
    } catch (error) {
      message = String((error as { stderr: unknown }).stderr);
    }
    expect(message).toContain(word);
    expect(existsSync(join(folder, "onnx/encoder_model.onnx"))).toBe(true);
  }
});

it("says in one line what it cannot deploy", () => {
  const message = (args: string[]): string => {
    try {
      execFileSync(process.env["LORAPRESS"] ?? join(ROOT, "build/lorapress"), args, {
        encoding: "utf8",
        stdio: "pipe",
      });
    } catch (error) {
      return String((error as { stderr: unknown }).stderr);
    }
    return "";
  };
  const page = ["--page", pressed("demo-page")];
  const cases: [string[], RegExp][] = [
    [["deploy", pressed("text-llama"), pressed("no-site"), ...page], /bundle "text-generation"/],
    [["deploy", IMAGES, pressed("no-site"), ...page], /no lorapress\.json/],
    [["deploy", pressed("demo"), pressed("no-site"), "--page", IMAGES], /no index\.html/],
    [["deploy", pressed("demo"), pressed("no-site"), ...page, "--license", "a b"], /--license/],
    [
      [
        "deploy",
        pressed("demo"),
        pressed("no-site"),
        ...page,
        "--report",
        join(IMAGES, "captions.json"),
      ],
      /--report/,
    ],
  ];
  for (const [args, words] of cases) {
    const text = message(args);
    expect(text).toMatch(words);
    expect(text.trim().split("\n")).toHaveLength(1);
  }
  expect(existsSync(pressed("no-site"))).toBe(false);
});

it("puts what verify measured into the model card", () => {
  const report = pressed("report.json");
  const model = join(ROOT, "models/demo");
  const verified = run(["verify", model, pressed("demo"), "--images", IMAGES, "--json"]);
  writeFileSync(report, verified);
  const { dtypes } = JSON.parse(verified);
  deploy("--report", report, "--force");
  const card = readFileSync(join(SITE, "model/README.md"), "utf8");
  expect(dtypes).toHaveLength(1);
  const { teacher_forced: forced, captions_equal: equal, captions } = dtypes[0];
  expect(card).toContain(
    `| fp32 | ${forced.matched} of ${forced.tokens} | ${equal} of ${captions} |`,
  );
});

it("opens the page of a watch: newest captions beside those before, as they appear", async () => {
  const [runs, out, photos] = [pressed("watch-run"), pressed("watched"), pressed("watch-photos")];
  mkdirSync(photos);
  for (const file of FILES) {
    copyFileSync(join(IMAGES, file), join(photos, file));
  }
  const save = (step: number, checkpoint: string, loss: number): void => {
    const folder = join(runs, `checkpoint-${step}`);
    cpSync(join(ROOT, checkpoint), folder, { recursive: true });
    const state = { global_step: step, log_history: [{ step, eval_loss: loss }] };
    writeFileSync(join(folder, "trainer_state.json"), JSON.stringify(state));
    run(["watch", runs, out, "--once", "--images", photos]);
  };
  save(5, "tests/goldens/checkpoints/base", 3.5);
  const host = spawn(PROGRAM, ["serve", out, "--port", "0", "--json"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [line] = await once(host.stdout as NonNullable<typeof host.stdout>, "data");
  const page = await browser.newPage();
  try {
    await page.goto(JSON.parse(String(line)).url);
    await page.getByText("Step 5, the best so far").waitFor();
    const before = await page.locator("#captions tbody td:nth-child(2)").allTextContents();
    expect(before).toHaveLength(FILES.length);
    save(10, "models/demo", 0.25);
    await page.getByText("Step 10, the best so far").waitFor();
    const rows = page.locator("#captions tbody tr");
    expect(await page.locator("#captions th").allTextContents()).toEqual([
      "Image",
      "Step 10",
      "Step 5",
    ]);
    for (const [at, file] of FILES.entries()) {
      const cells = await rows.nth(at).locator("td").allTextContents();
      expect(cells).toEqual(["", CAPTIONS[file], before[at]]);
      const picture = rows.nth(at).getByRole("img", { name: file });
      expect(await picture.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBe(64);
    }
    expect(await page.locator("#steps tbody tr").allInnerTexts()).toEqual([
      "10\t0.25\tbest",
      "5\t3.5\t",
    ]);
  } finally {
    await page.close();
    host.kill();
  }
});
