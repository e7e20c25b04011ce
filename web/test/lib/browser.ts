// Chromium of the system, driven through its debugging protocol, and a page with the bundle.

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import type * as Lorapress from "../../src/index.js";
import type * as Internals from "../page/internals.js";
import { pressed, ROOT, WEB } from "./program.js";
import { type ServerOptions, TestServer } from "./server.js";

declare global {
  /** What test/page/index.html puts there. */
  var lorapress: typeof Lorapress;
  var internals: typeof Internals;
}

export const WEBGPU: readonly string[] = [
  "--enable-unsafe-webgpu",
  "--enable-features=Vulkan",
  "--use-vulkan=swiftshader",
  "--use-webgpu-adapter=swiftshader",
];

function settings(args: readonly string[]): { executablePath: string; args: string[] } {
  const name = process.env["CHROMIUM"] ?? "chromium";
  const executablePath = execFileSync("which", [name], { encoding: "utf8" }).trim();
  // Optimizing 14 MB of WebAssembly in the background costs seconds each time and gains nothing here.
  return { executablePath, args: ["--no-sandbox", "--js-flags=--liftoff-only", ...args] };
}

export function launch(args: readonly string[] = []): Promise<Browser> {
  return chromium.launch(settings(args));
}

export function serve(
  options: ServerOptions = {},
  more: Readonly<Record<string, string>> = {},
): Promise<TestServer> {
  const mounts = {
    ...more,
    "/bundle/": pressed("bundle"),
    "/demo/model/": pressed("demo"),
    "/demo/": pressed("demo-page"),
    "/models/": pressed(""),
    "/images/": join(ROOT, "models/demo/images"),
    "/goldens/": join(ROOT, "tests/goldens"),
    "/hostile/": join(ROOT, "tests/hostile/manifests"),
    "/page/": join(WEB, "test/page"),
  };
  return TestServer.start(mounts, options);
}

/** A profile of its own: nothing stored. Every request is noted in `urls`. */
export class Tab {
  readonly context: BrowserContext;
  readonly page: Page;
  readonly urls: string[] = [];

  private constructor(context: BrowserContext, page: Page) {
    this.context = context;
    this.page = page;
    context.on("request", (request) => this.urls.push(request.url()));
  }

  static async open(browser: Browser, server: TestServer, script?: string): Promise<Tab> {
    const context = await browser.newContext();
    context.setDefaultTimeout(0); // a slow machine is no failure
    if (script !== undefined) {
      await context.addInitScript(script);
    }
    const tab = new Tab(context, await context.newPage());
    await Tab.visit(tab.page, server);
    return tab;
  }

  /** Another tab of the same profile. */
  async another(server: TestServer): Promise<Page> {
    const page = await this.context.newPage();
    await Tab.visit(page, server);
    return page;
  }

  static async visit(page: Page, server: TestServer): Promise<void> {
    await page.goto(`${server.origin}/page/index.html`);
    await page.waitForFunction(() => globalThis.internals !== undefined);
  }

  /** Addresses outside of the server; data: and blob: are none. */
  foreign(server: TestServer): string[] {
    return this.urls.filter((url) => /^https?:/.test(url) && !url.startsWith(`${server.origin}/`));
  }

  close(): Promise<void> {
    return this.context.close();
  }
}
