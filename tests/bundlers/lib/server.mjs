// A static server as plain as a host of pages gets: no ranges, no ETags.
import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".wasm": "application/wasm",
  ".png": "image/png",
};
const ISOLATED = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
};
/** What docs/web.md asks of a page's policy. */
const POLICY = {
  "content-security-policy":
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'",
};

/**
 * @param {string} folder
 * @param {{isolated?: boolean, fallback?: boolean}} [options] fallback: the page in place of what is missing
 * @returns {Promise<{origin: string, asked: string[], stop: () => void}>} asked: the paths, in turn
 */
export async function serve(folder, { isolated = false, fallback = false } = {}) {
  const asked = [];
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://host").pathname));
    asked.push(path);
    const wanted = join(folder, path.endsWith("/") ? `${path}index.html` : path);
    const found = existsSync(wanted) && statSync(wanted).isFile();
    const file = found || !fallback ? wanted : join(folder, "index.html");
    if (!found && !fallback) {
      response.writeHead(404).end();
      return;
    }
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    const headers = { "content-type": type, ...POLICY, ...(isolated ? ISOLATED : {}) };
    response.writeHead(200, headers).end(readFileSync(file));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { origin: `http://127.0.0.1:${server.address().port}`, asked, stop };
}
