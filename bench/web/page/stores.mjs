// How fast chunks are written and read: by the package's stores, and by the origin private file system with
// synchronous handles, which only workers have.
const worker = new Worker("stores_worker.mjs", { type: "module" });

const side = {
  measure: (what) =>
    new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => (typeof data === "string" ? reject(new Error(data)) : resolve(data));
      worker.postMessage(what);
    }),
};
globalThis.side = side;
