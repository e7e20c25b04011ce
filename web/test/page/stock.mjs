// A page that uses transformers.js as its documentation says, and one line more.
import { install } from "/bundle/transformers.js";

/** What it says about the image, or the error. */
export async function caption(version, url, image) {
  const { env, pipeline } = await import(`/${version}/transformers.min.js`);
  const wasm = env.backends.onnx.wasm;
  Object.assign(wasm, { wasmPaths: `${location.origin}/${version}-ort/`, numThreads: 1 });
  const { model } = await install(env, url, { retries: 1, retryDelayMs: 1 });
  try {
    const pipe = await pipeline("image-to-text", model, { quantized: false });
    const [{ generated_text: text }] = await pipe(image);
    await pipe.dispose();
    return { version: env.version, text };
  } catch ({ code, message }) {
    return { version: env.version, code, error: message };
  }
}
