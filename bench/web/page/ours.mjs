// LoraPress as a page uses it: the bundle, its worker, its store.
import { Captioner } from "/bundle/lorapress.js";

let captioner;
let begin;
let usual = {};
const trace = [];

const side = {
  async load({ folder, dtype, threads, prompt, engine, keepEncoder, plain = false, wait = true }) {
    begin = performance.now();
    usual = prompt === undefined ? {} : { prompt };
    captioner = await Captioner.load(folder, {
      device: "wasm",
      engine,
      keepEncoder,
      dtype,
      threads,
      ...(plain && { worker: new Worker("plain_worker.mjs", { type: "module" }) }),
      onProgress: ({ phase, loadedBytes, totalBytes }) =>
        trace.push({ ms: performance.now() - begin, phase, loadedBytes, totalBytes }),
    });
    if (wait) {
      await captioner.ready;
    }
    return performance.now() - begin;
  },

  async caption(image, maxNewTokens) {
    const start = performance.now();
    const { ids, text, timings } = await captioner.caption(image, { ...usual, maxNewTokens });
    const ms = performance.now() - start;
    return { ms, ids, text, timings, startMs: start - begin, endMs: start - begin + ms };
  },

  info: () => captioner.info,

  trace: () => trace,
};
globalThis.side = side;
