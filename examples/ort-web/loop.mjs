// The default bundle's two graphs on onnxruntime-web, the generation loop in JavaScript: text can be shown
// as it comes, and anything can be done to the logits.
//
//   const model = await open(ort, read);                     read(path) -> Uint8Array
//   const ids = await caption(model, pixelValues, { onToken }); [1, 3, H, W] float32 -> token ids
import { openGraph } from './graph.mjs';

export async function open(ort, read) {
  const manifest = JSON.parse(new TextDecoder().decode(await read('lorapress.json')));
  const { encoder, decoder } = manifest.graphs[manifest.default_dtype];
  return {
    ort,
    ...manifest,
    encoder: await openGraph(ort, read, manifest, encoder),
    decoder: await openGraph(ort, read, manifest, decoder),
  };
}

/** Greedy; `prompt`: ids of text to go on from, `most`: new tokens, `onToken(id)`: as they come. */
export async function caption(model, pixel_values, options = {}) {
  const { ort, encoder, decoder, generation } = model;
  const { prompt = [], most = generation.max_new_tokens, onToken = () => {} } = options;
  const { last_hidden_state: encoder_hidden_states } = await encoder.run({ pixel_values });
  let past = emptyCache(model);
  // The first call puts the image in place of the start token and gives the logits of the last position.
  let given = [generation.decoder_start_token_id, ...prompt];
  const ids = [];
  while (ids.length < most && !generation.eos_token_id.includes(ids.at(-1))) {
    const input_ids = new ort.Tensor('int64', BigInt64Array.from(given, BigInt), [1, given.length]);
    const { logits, ...present } = await decoder.run({ input_ids, encoder_hidden_states, ...past });
    const next = best(logits.data);
    ids.push(next);
    onToken(next);
    given = [next];
    past = Object.fromEntries(
      Object.entries(present).map(([name, tensor]) => [name.replace('present', 'past_key_values'), tensor]),
    );
  }
  return ids;
}

/** Keys and values of no position. */
function emptyCache({ ort, decoder, model: { num_key_value_heads, head_dim } }) {
  const names = decoder.inputNames.filter((name) => name.startsWith('past_key_values.'));
  const shape = [1, num_key_value_heads, 0, head_dim];
  return Object.fromEntries(names.map((name) => [name, new ort.Tensor('float32', new Float32Array(0), shape)]));
}

const best = (logits) => logits.reduce((top, value, id) => (value > logits[top] ? id : top), 0);
