// usage: node caption.mjs ROOT SITE IMAGE EXPECTED   opens SITE in Chromium and compares its float32 caption of IMAGE
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { extname, join } from 'node:path';

const [root, site, image, expected] = process.argv.slice(2);
const { chromium } = createRequire(join(root, 'web/package.json'))('playwright-core');
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm', '.css': 'text/css' };

// A plain static host: files and their types, no other header.
const server = createServer((request, response) => {
  const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
  try {
    const body = readFileSync(join(site, path));
    response.writeHead(200, { 'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream' }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  await page.goto(`http://127.0.0.1:${server.address().port}/index.html`);
  await page.waitForFunction(() => globalThis.crossOriginIsolated); // by the site's service worker
  const base64 = readFileSync(image).toString('base64');
  const text = await page.evaluate(async (content) => {
    const { Captioner } = await import(`${location.origin}/lorapress.js`);
    const captioner = await Captioner.load('model/', { device: 'wasm', dtype: 'fp32' });
    const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
    return (await captioner.caption(new Blob([bytes]))).text;
  }, base64);
  assert.equal(`${image}: ${text}`, expected.includes(': ') ? expected : `${image}: ${expected}`);
  console.log(`workflow: the tab says "${text}"`);
} finally {
  await browser.close();
  server.close();
}
