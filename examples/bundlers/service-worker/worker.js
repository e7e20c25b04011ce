import { Captioner } from "./lorapress/index.js";

/** Loaded when the first caption is asked for, from the browser's store when the worker was ended in between. */
let loading;

async function caption(image) {
  loading ??= Captioner.load("model/");
  const captioner = await loading;
  const { text } = await captioner.caption(image);
  return new Response(text, { headers: { "content-type": "text/plain; charset=utf-8" } });
}

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  const { pathname, searchParams } = new URL(event.request.url);
  if (pathname.endsWith("/caption")) {
    event.respondWith(caption(searchParams.get("image")));
  }
});
