// Greedy decoding over a pressed folder's two graphs, straight on an onnxruntime API: what a page
// does that brings no transformers.js.

import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/**
 * @typedef {{encoder: any, decoder: any, model: object, generation: object}} Model
 * @typedef {{shape: number[], data: Float32Array}} Pixels
 */

/**
 * Opens both graphs as a browser does: from buffers, external data named one by one.
 * @param {any} ort
 * @param {string} folder
 * @returns {Promise<Model>}
 */
export async function openModel(ort, folder) {
  const manifest = JSON.parse(readFileSync(join(folder, 'lorapress.json'), 'utf8'));
  const graphs = manifest.graphs[manifest.default_dtype];
  const encoder = await openGraph(ort, folder, graphs.encoder, manifest);
  const decoder = await openGraph(ort, folder, graphs.decoder, manifest);
  return { encoder, decoder, model: manifest.model, generation: manifest.generation };
}

function openGraph(ort, folder, path, { graph_files }) {
  const externalData = graph_files[path].external_data.map((file) => ({
    path: basename(file),
    data: readFileSync(join(folder, file)),
  }));
  return ort.InferenceSession.create(readFileSync(join(folder, path)), {
    executionProviders: ['wasm'],
    ...(externalData.length > 0 && { externalData }),
  });
}

/** @param {Model} model */
export async function closeModel(model) {
  await model.encoder.release?.(); // not in onnxruntime-web 1.14
  await model.decoder.release?.();
}

/**
 * Returns the new ids of every row; a row that has ended goes on until all have.
 * @param {any} ort
 * @param {Model} model
 * @param {Pixels} pixels [batch, 3, H, W]
 * @param {number[]} [prompt] of every row
 * @returns {Promise<number[][]>}
 */
export async function generate(ort, model, pixels, prompt = []) {
  const batch = pixels.shape[0];
  const { decoder_start_token_id: start, eos_token_id: eos, max_new_tokens: most } = model.generation;
  const image = await model.encoder.run({ pixel_values: new ort.Tensor('float32', pixels.data, pixels.shape) });
  const past = emptyCache(ort, model, batch);
  let given = Array.from({ length: batch }, () => [start, ...prompt]);
  const rows = given.map(() => []);
  while (rows[0].length < most && !rows.every((row) => eos.includes(row.at(-1)))) {
    const feeds = { input_ids: int64(ort, given), encoder_hidden_states: image.last_hidden_state, ...past };
    const { logits, ...present } = await model.decoder.run(feeds);
    given = argmax(logits).map((id) => [id]);
    rows.forEach((row, i) => row.push(given[i][0]));
    for (const [name, tensor] of Object.entries(present)) {
      past[name.replace('present', 'past_key_values')] = tensor;
    }
  }
  return rows;
}

/** Keys and values of no position. */
function emptyCache(ort, { decoder, model }, batch) {
  const names = decoder.inputNames.filter((name) => name.startsWith('past_key_values.'));
  const shape = [batch, model.num_key_value_heads, 0, model.head_dim];
  return Object.fromEntries(names.map((name) => [name, new ort.Tensor('float32', new Float32Array(0), shape)]));
}

function int64(ort, rows) {
  return new ort.Tensor('int64', BigInt64Array.from(rows.flat(), BigInt), [rows.length, rows[0].length]);
}

/** The best token of each row of logits [batch, 1, vocabulary]. */
function argmax({ data, dims: [batch, , vocabulary] }) {
  return Array.from({ length: batch }, (_, row) => {
    const logits = data.subarray(row * vocabulary, (row + 1) * vocabulary);
    return logits.reduce((best, value, id) => (value > logits[best] ? id : best), 0);
  });
}
