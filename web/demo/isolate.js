// Threads in WebAssembly need a page that is cross-origin isolated. Where the host does not send the two headers that
// isolate it, a service worker adds them, which takes effect when the page loads again: once.
// Without any of this the page works on one thread.
(async () => {
  const MARK = "lorapress-isolation";
  if (window.crossOriginIsolated) {
    sessionStorage.removeItem(MARK);
    return;
  }
  if (!window.isSecureContext || !("serviceWorker" in navigator)) {
    return; // http on another host than this machine
  }
  await navigator.serviceWorker.register("isolation-worker.js");
  await navigator.serviceWorker.ready;
  if (sessionStorage.getItem(MARK) === null) {
    sessionStorage.setItem(MARK, "reloaded");
    location.reload();
  }
})().catch(() => undefined); // refused, as in private windows of some browsers: one thread
