// usage: node caption.mjs PROGRAM SITE IMAGE EXPECTED   opens SITE in Chromium, served by PROGRAM, and compares its
// float32 caption of IMAGE
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { launch, serve } from '../../bench/web/browser.mjs';

const [program, site, image, expected] = process.argv.slice(2);
const server = await serve(program, site);
const browser = await launch();
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  await page.goto(`${server.origin}/index.html`);
  await page.waitForFunction(() => globalThis.crossOriginIsolated);
  const base64 = readFileSync(image).toString('base64');
  const text = await page.evaluate(async (content) => {
    const { Captioner } = await import(`${location.origin}/lorapress.js`);
    const captioner = await Captioner.load('model/', { device: 'wasm', dtype: 'fp32' });
    const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
    return (await captioner.caption(new Blob([bytes]))).text;
  }, base64);
  assert.equal(text, expected);
  console.log(`workflow: the tab says "${text}"`);
} finally {
  await browser.close();
  server.stop();
}
