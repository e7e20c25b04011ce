// The packed package without a bundler: a plain <script type="module">, a service worker, and <img-captioner> in
// examples/upload-form.
import assert from "node:assert/strict";
import { cpSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { captionOn, launch, open } from "./lib/browser.mjs";
import { addModel, build, CAPTION, EXAMPLES, IMAGE, install, makeProject, ROOT, run } from "./lib/project.mjs";
import { serve } from "./lib/server.mjs";

const IMAGES = join(ROOT, "models/demo/images");
const CAPTIONS = JSON.parse(readFileSync(join(IMAGES, "captions.json"), "utf8"));
const OTHER = "scene-10000001.png";
const AXE = readFileSync(createRequire(join(ROOT, "web/package.json")).resolve("axe-core/axe.min.js"), "utf8");

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** Opens a page of `folder` in a profile of its own; nothing goes wrong there, and nothing comes from elsewhere. */
async function visit(folder, look, expected = []) {
  const server = await serve(folder);
  const context = await browser.newContext();
  try {
    const { page, problems, urls } = await open(context, `${server.origin}/`);
    await look(page, server);
    assert.deepEqual([...new Set(problems)], expected);
    assert.deepEqual(urls.filter((url) => !url.startsWith(server.origin) && !url.startsWith("blob:")), []);
  } finally {
    await context.close();
    server.stop();
  }
}

it("a page without a bundler captions with the eight lines", async () => {
  const lines = readFileSync(join(EXAMPLES, "vite/main.js"), "utf8").replace('"lorapress"', '"./lorapress/index.js"');
  assert.equal(readFileSync(join(EXAMPLES, "script/main.js"), "utf8"), lines);
  const folder = makeProject("script");
  build("script", folder);
  await visit(folder, async (page) => assert.equal(await captionOn(page), CAPTION));
});

it("a service worker captions for its page", async () => {
  const folder = makeProject("service-worker");
  build("service-worker", folder);
  await visit(folder, async (page, server) => {
    assert.equal(await captionOn(page), CAPTION);
    assert.equal(page.workers().length, 0);
    assert.ok(server.asked.includes("/model/lorapress.json"));
  });
});

describe("<img-captioner> in an upload form", () => {
  let folder;
  before(() => {
    folder = join(process.env.LORAPRESS_BUNDLERS_SCRATCH, "upload");
    cpSync(join(ROOT, "examples/upload-form"), folder, { recursive: true });
    install(folder);
    run(join(folder, "node_modules/.bin/lorapress-copy"), ["lorapress", "--module"], folder);
    addModel(folder, ".");
  });

  const status = (page, text) => page.locator("img-captioner [role=status]", { hasText: text }).waitFor();
  const choose = (page, name) => page.setInputFiles("#photo", join(IMAGES, name));
  const listen = (page) =>
    page.evaluate(() => {
      globalThis.told = [];
      for (const type of ["caption-start", "caption-progress", "caption", "caption-error", "input"]) {
        document.addEventListener(type, ({ detail, target }) => globalThis.told.push([type, target.localName, detail?.text]));
      }
    });

  it("fills a missing alt text, tells the form, and replaces only its own", async () => {
    await visit(folder, async (page, server) => {
      await listen(page);
      assert.equal(server.asked.filter((path) => /index\.js|wasm|model/.test(path)).join(), "", "loaded before a picture is there");
      await choose(page, IMAGE);
      await status(page, "Alt text suggested.");
      assert.equal(await page.inputValue("#alt"), CAPTION);
      await choose(page, OTHER);
      await page.waitForFunction((text) => document.getElementById("alt").value === text, CAPTIONS[OTHER]);
      await page.fill("#alt", "My own words");
      await choose(page, IMAGE);
      await status(page, "There is an alt text already.");
      await page.locator("img-captioner").getByRole("button", { name: "Suggest alt text" }).click();
      await page.waitForFunction(() => globalThis.told.filter(([type]) => type === "caption").length === 3);
      assert.equal(await page.inputValue("#alt"), "My own words");
      const told = await page.evaluate(() => globalThis.told);
      const without = told.filter(([type, , text]) => type !== "caption-progress" && text !== undefined);
      assert.deepEqual(without, [CAPTION, CAPTIONS[OTHER], CAPTION].map((text) => ["caption", "img-captioner", text]));
      assert.ok(told.some(([type]) => type === "caption-progress"));
      assert.equal(told.filter(([type, target]) => type === "input" && target === "textarea").length, 3); // one by fill()
    });
  });

  it("gives its images the alt they lack; a listener may refuse; errors are said", async () => {
    await visit(folder, async (page) => {
      const found = await page.evaluate(async (file) => {
        const captioner = document.querySelector("img-captioner");
        const next = (type) => new Promise((resolve) => captioner.addEventListener(type, resolve, { once: true }));
        const add = (alt) => {
          const image = Object.assign(new Image(), { src: "image.png", ...(alt === undefined ? {} : { alt }) });
          captioner.append(image);
          return image;
        };
        const [decoration, written, missing] = [add(""), add("Written"), add()];
        await next("caption");
        await new Promise((resolve) => setTimeout(resolve));
        const alts = [decoration.alt, written.alt, missing.alt];
        captioner.addEventListener("caption", (event) => event.preventDefault(), { once: true });
        const refused = [await captioner.suggest(), document.getElementById("alt").value];
        captioner.setAttribute("failed-label", "Kein Vorschlag");
        const failed = next("caption-error");
        decoration.remove();
        written.remove();
        missing.src = "missing.png";
        await captioner.suggest();
        const { detail } = await failed;
        return { alts, refused, code: detail.error.code, said: captioner.shadowRoot.querySelector("[role=status]").textContent, file };
      }, OTHER);
      assert.deepEqual(found.alts, ["", "Written", CAPTION]);
      assert.deepEqual(found.refused, [CAPTION, ""]);
      assert.equal(found.code, "not_found");
      assert.match(found.said, /^Kein Vorschlag: .*HTTP status 404/);
    }, ["Failed to load resource: the server responded with a status of 404 (Not Found)"]);
  });

  it("is used by keyboard and by screen reader, in light and dark", async () => {
    await visit(folder, async (page) => {
      await page.focus("#alt");
      await page.keyboard.press("Tab");
      await page.keyboard.press("Enter");
      await status(page, "Choose a picture first.");
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        const session = await page.context().newCDPSession(page); // not bound by the page's policy
        await session.send("Runtime.evaluate", { expression: AXE });
        const expression = "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes[0].html))";
        const { result } = await session.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
        assert.deepEqual(result.value, []);
      }
    });
  });
});
