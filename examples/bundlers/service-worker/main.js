// The page knows nothing of models: it asks an address that the service worker answers.
async function describe(image) {
  const { serviceWorker } = navigator;
  await serviceWorker.register("worker.js", { type: "module" });
  if (serviceWorker.controller === null) {
    await new Promise((resolve) => serviceWorker.addEventListener("controllerchange", resolve, { once: true }));
  }
  const response = await fetch(`caption?image=${encodeURIComponent(image.src)}`);
  image.alt = await response.text();
}
describe(document.querySelector("img"));
