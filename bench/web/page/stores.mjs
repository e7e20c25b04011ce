// How fast chunks are written and read: IndexedDB and the origin private file system as the package uses
// them, and that file system with synchronous handles, which only workers have.
const worker = new Worker("stores_worker.mjs", { type: "module" });

const side = {
  measure: (what) =>
    new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => (typeof data === "string" ? reject(new Error(data)) : resolve(data));
      worker.postMessage(what);
    }),
};
globalThis.side = side;
