// A page with pictures of all kinds, as pages of the web have them, and a second origin that allows nothing to others.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { ROOT } from "./project.mjs";

const IMAGES = join(ROOT, "models/demo/images");
const CAPTIONS = JSON.parse(readFileSync(join(IMAGES, "captions.json"), "utf8"));
const scene = (n) => `scene-1000000${n}.png`;
const bytes = (name) => readFileSync(join(IMAGES, name));
const data = (name) => `data:image/png;base64,${bytes(name).toString("base64")}`;
const SHAPES = '<rect width="160" height="160" fill="white"/><circle cx="80" cy="80" r="50" fill="red"/>';
const svg = (attributes) => `<svg xmlns="http://www.w3.org/2000/svg" ${attributes}>${SHAPES}</svg>`;
const DOT = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";

/**
 * What the panel has to say of each: a caption (that of PyTorch; "" for any text, where pixels are made by the browser), or why
 * there is none. By what its facts must hold.
 */
const caption = (name) => CAPTIONS[name];
const ROWS = [
  { alt: "plain", html: `<img src="/${scene(0)}" title="plain">`, text: caption(scene(0)), facts: "no alt text" },
  { alt: "foreign", html: (other) => `<img src="${other}/${scene(1)}" alt="foreign">`, text: caption(scene(1)) },
  { alt: "in data", html: `<img src="${data(scene(2))}" alt="in data">`, text: caption(scene(2)) },
  { alt: "in a blob", html: `<img id="blob" alt="in a blob">`, text: caption(scene(3)) },
  { alt: "svg file", html: `<img src="/shapes.svg" alt="svg file" width="200">`, text: "" },
  { alt: "svg data", html: `<img src='data:image/svg+xml,${encodeURIComponent(svg('viewBox="0 0 160 160"'))}' alt="svg data">`, text: "" },
  { alt: "inline svg", html: svg('width="160" height="160" aria-label="inline svg"'), text: "" },
  { alt: "far below", html: `<img loading="lazy" src="/${scene(4)}?far" alt="far below" class="far">`, text: caption(scene(4)) },
  { alt: "late", html: `<img src="${DOT}" data-src="/${scene(5)}?late" alt="late" width="160" height="160">`, text: caption(scene(5)) },
  { alt: "dot", html: `<img src="${DOT}" alt="dot">`, why: /^too small to describe: 1 . 1 pixels$/ },
  { alt: "nowhere", html: `<img alt="nowhere">`, why: /no address/ },
  { alt: "missing", html: `<img src="/missing.png" alt="missing" width="160" height="160">`, why: /HTTP status 404/ },
  { alt: "broken", html: `<img src="/broken.png" alt="broken" width="160" height="160">`, why: /cannot decode/ },
  { alt: "login", html: `<img src="/login" alt="login" width="160" height="160">`, why: /leads to a page/ },
  { alt: "no such host", html: `<img src="http://127.0.0.1:9/x.png" alt="no such host" width="160" height="160">`, why: /cannot be fetched/ },
  { facts: "Background", html: `<div class="box" style="background: url('/${scene(6)}?(a)') 0 0 / cover"></div>`, text: caption(scene(6)) },
  { facts: "Background", html: `<div class="before"></div>`, text: caption(scene(7)) },
  { alt: "clean canvas", html: `<canvas width="160" height="160" aria-label="clean canvas" data-from="/${scene(1)}?canvas"></canvas>`, text: "" },
  { alt: "tainted canvas", html: (other) => `<canvas width="160" height="160" aria-label="tainted canvas" data-from="${other}/${scene(1)}?tainted"></canvas>`, why: /pictures of another site/ },
  { alt: "empty canvas", html: `<canvas width="160" height="160" aria-label="empty canvas"></canvas>`, why: /nothing is drawn/ },
  { alt: "chosen", html: `<picture><source type="image/webp" srcset="/large-160x160.webp 2x"><img src="/missing.png" alt="chosen"></picture>`, text: caption("large-160x160.webp") },
  { alt: "decoration", html: `<img src="/wide-256x192.jpg" alt="">`, text: caption("wide-256x192.jpg"), facts: "marked as decoration" },
  { facts: "Poster of a video", html: `<video poster="/${scene(0)}?poster" width="160" height="160"></video>`, text: caption(scene(0)) },
  { alt: "button", html: `<input type="image" src="/${scene(2)}?button" alt="button">`, text: caption(scene(2)) },
  { alt: "shadow", html: `<span id="shadow"></span>`, text: caption(scene(3)) },
  { alt: "own frame", html: `<iframe src="/frame"></iframe>`, text: caption(scene(4)) },
  { alt: "foreign frame", html: (other) => `<iframe src="${other}/frame?foreign"></iframe>`, text: caption(scene(4)) },
  { alt: "hotlink", html: `<img src="/${scene(5)}?referer" alt="hotlink">`, text: caption(scene(5)) },
  { alt: "for members", html: `<img src="/${scene(6)}?cookie" alt="for members">`, text: caption(scene(6)) },
];
export const EXPECTED = ROWS.map(({ alt, facts, text, why }) => ({ facts: facts ?? `alt text: ${alt}`, text, why }));

const page = (other) => `<!doctype html>
<html lang="en"><title>Pictures</title>
<style>
  .box, .before::before { display: block; width: 160px; height: 160px }
  .before::before { content: ""; background-image: linear-gradient(#fff0, #fff0), url("/${scene(7)}") }
  .far { display: block; margin-top: 20000px }
  body { font: 16px system-ui; background: light-dark(#fff, #181a1f); color-scheme: light dark }
</style>
<h1>Pictures of all kinds</h1>
${ROWS.map(({ html }) => (typeof html === "string" ? html : html(other))).join("\n")}
<script>
  const blob = fetch("/${scene(3)}?blob").then((response) => response.blob()).then((found) => {
    document.getElementById("blob").src = URL.createObjectURL(found);
  });
  const root = document.getElementById("shadow").attachShadow({ mode: "open" });
  root.innerHTML = '<img src="/${scene(3)}?shadow" alt="shadow">';
  const drawn = [...document.querySelectorAll("canvas[data-from]")].map((canvas) => new Promise((done) => {
    const image = new Image();
    image.onload = () => done(canvas.getContext("2d").drawImage(image, 0, 0, 160, 160));
    image.src = canvas.dataset.from;
  }));
  Promise.all([blob, ...drawn]).then(() => document.documentElement.dataset.made = "yes");
</script>`;

const frame = `<!doctype html><title>Frame</title><img src="/${scene(4)}?frame" alt="own frame">`;
const POLICY = { "content-security-policy": "style-src 'self' 'unsafe-inline'; connect-src 'self'" };

function answer(request, other) {
  const { pathname, search } = new URL(request.url, "http://host");
  const file = pathname.slice(1);
  const html = (body) => [200, { "content-type": "text/html; charset=utf-8", ...POLICY }, body];
  if (pathname === "/") {
    const [status, headers, body] = html(page(other));
    return [status, { ...headers, "set-cookie": "member=1; SameSite=Lax" }, body];
  }
  if (pathname === "/frame") {
    return html(search === "?foreign" ? frame.replace("own frame", "foreign frame").replace("?frame", "?foreign-frame") : frame);
  }
  if (pathname === "/login") {
    return html("<h1>Who are you?</h1>");
  }
  if (pathname === "/shapes.svg") {
    return [200, { "content-type": "image/svg+xml" }, svg('viewBox="0 0 160 160"')];
  }
  if (pathname === "/broken.png") {
    return [200, { "content-type": "image/png" }, "no picture"];
  }
  const refused =
    (search === "?referer" && request.headers.referer === undefined) ||
    (search === "?cookie" && !request.headers.cookie?.includes("member=1"));
  if (refused || !(file in CAPTIONS)) {
    return [refused ? 403 : 404, {}, ""];
  }
  const type = { png: "image/png", jpg: "image/jpeg", webp: "image/webp" }[file.split(".").at(-1)];
  return [200, { "content-type": type, "cache-control": "no-store" }, bytes(file)];
}

async function listen(handler) {
  const server = createServer((request, response) => {
    const [status, headers, body] = handler(request);
    response.writeHead(status, headers).end(body);
  });
  await new Promise((resolve) => server.listen(0, resolve));
  return { server, port: server.address().port };
}

/** `url`: the page. The second origin differs in host and port, so that it is another site, too. */
export async function servePictures() {
  const second = await listen((request) => answer(request, ""));
  const first = await listen((request) => answer(request, `http://localhost:${second.port}`));
  const stop = () => {
    for (const { server } of [first, second]) {
      server.closeAllConnections();
      server.close();
    }
  };
  return { url: `http://127.0.0.1:${first.port}/`, stop };
}
