// The unmodified pipeline of transformers.js, as its guide shows it; every file from this origin.
import { env, pipeline } from "/stock/transformers.min.js";

Object.assign(env, { allowLocalModels: true, allowRemoteModels: false, localModelPath: "/models/" });
env.backends.onnx.wasm.wasmPaths = new URL("/stock/", location.href).href;

let pipe;
let ids;

const side = {
  async load({ folder, dtype, threads }) {
    const start = performance.now();
    env.backends.onnx.wasm.numThreads = threads;
    pipe = await pipeline("image-to-text", folder.split("/").pop(), { device: "wasm", dtype });
    const ms = performance.now() - start;
    // The pipeline gives only text; what its model returned is noted on the way.
    const generate = pipe.model.generate.bind(pipe.model);
    pipe.model.generate = async (options) => {
      const found = await generate(options);
      ids = Array.from(found.tolist()[0], Number);
      return found;
    };
    return ms;
  },

  async caption(image, maxNewTokens) {
    const start = performance.now();
    const [{ generated_text: text }] = await pipe(image, { max_new_tokens: maxNewTokens });
    const ms = performance.now() - start;
    return { ms, ids: ids.slice(1), text }; // the first is the start token
  },
};
globalThis.side = side;
