// Adds the headers that isolate a page to the page itself and to its workers; see isolate.js. Other requests, the
// model's files among them, do not pass here.
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};
const WORKERS = ["worker", "sharedworker"];

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const own = new URL(request.url).origin === self.location.origin;
  if (own && (request.mode === "navigate" || WORKERS.includes(request.destination))) {
    event.respondWith(isolated(request));
  }
});

/** @param {Request} request */
async function isolated(request) {
  const response = await fetch(request);
  if (response.status === 0) {
    return response; // a redirect, which the browser follows
  }
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) {
    headers.set(name, value);
  }
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}
