// Unmodified transformers.js as its guide shows it, every file from this origin: the pipeline, and for folders
// that take a prompt their processor and model.
import { AutoModelForImageTextToText, AutoProcessor, env, load_image, pipeline } from "/stock/transformers.min.js";

Object.assign(env, { allowLocalModels: true, allowRemoteModels: false, localModelPath: "/models/" });
env.backends.onnx.wasm.wasmPaths = new URL("/stock/", location.href).href;

let pipe;
let ids;
let prompted;

async function loadPrompted(name, options, prompt) {
  const processor = await AutoProcessor.from_pretrained(name);
  const model = await AutoModelForImageTextToText.from_pretrained(name, options);
  const content = [{ type: "image" }, { type: "text", text: prompt }];
  const text = processor.apply_chat_template([{ role: "user", content }], { add_generation_prompt: true });
  prompted = async (image, maxNewTokens) => {
    const inputs = await processor(text, [await load_image(image)]);
    const output = await model.generate({ ...inputs, max_new_tokens: maxNewTokens });
    const fresh = output.slice(null, [inputs.input_ids.dims.at(-1), null]);
    return {
      ids: Array.from(fresh.tolist()[0], Number),
      text: processor.batch_decode(fresh, { skip_special_tokens: true })[0],
      tiles: inputs.pixel_values.dims[1],
    };
  };
}

const side = {
  async load({ folder, dtype, threads, prompt }) {
    const start = performance.now();
    env.backends.onnx.wasm.numThreads = threads;
    const name = folder.split("/").pop();
    if (prompt !== undefined) {
      await loadPrompted(name, { device: "wasm", dtype }, prompt);
      return performance.now() - start;
    }
    pipe = await pipeline("image-to-text", name, { device: "wasm", dtype });
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
    if (prompted !== undefined) {
      const said = await prompted(image, maxNewTokens);
      return { ...said, ms: performance.now() - start };
    }
    const [{ generated_text: text }] = await pipe(image, { max_new_tokens: maxNewTokens });
    const ms = performance.now() - start;
    return { ms, ids: ids.slice(1), text }; // the first is the start token
  },
};
globalThis.side = side;
