// The generation loop by hand, over the four graphs of `lorapress press --bundle components`, on any
// onnxruntime API (onnxruntime-web in a page or in Node, onnxruntime-node).
//
//   const model = await open(ort, read);                read(path) -> Uint8Array
//   const ids = await caption(ort, model, pixelValues); [batch, 3, H, W] float32 -> ids of each row

const GRAPHS = ['vision_encoder', 'projection', 'prefix_init', 'language_model'];

/** Opens the graphs of the folder's default dtype; the decoders share one external data file. */
export async function open(ort, read) {
  const manifest = JSON.parse(new TextDecoder().decode(await read('lorapress.json')));
  const paths = manifest.graphs[manifest.default_dtype];
  const weights = (name) => manifest.graph_files[paths[name]].external_data;
  const all = [...new Set(GRAPHS.flatMap(weights))];
  const data = await Promise.all(all.map(async (path) => ({ path, bytes: await read(path) })));
  const sessions = {};
  for (const name of GRAPHS) {
    const folder = paths[name].slice(0, paths[name].lastIndexOf('/') + 1);
    // A graph names its data relative to its own folder.
    const own = data.filter(({ path }) => weights(name).includes(path));
    const externalData = own.map(({ path, bytes }) => ({ path: path.slice(folder.length), data: bytes }));
    sessions[name] = await ort.InferenceSession.create(await read(paths[name]), { externalData });
  }
  return { ...sessions, generation: manifest.generation };
}

/** Greedy captions of a batch; rows that have ended are padded. */
export async function caption(ort, model, pixelValues, most = model.generation.max_new_tokens) {
  const { eos_token_id: eos, pad_token_id: pad } = model.generation;
  const { vision_hidden_states } = await model.vision_encoder.run({ pixel_values: pixelValues });
  const { projected_prefix } = await model.projection.run({ vision_hidden_states });
  let output = await model.prefix_init.run({ prefix_embeddings: projected_prefix });
  const rows = Array.from({ length: pixelValues.dims[0] }, () => []);
  const ended = rows.map(() => false);
  for (;;) {
    const next = bestTokens(output.logits).map((id, row) => (ended[row] ? pad : id));
    next.forEach((id, row) => {
      rows[row].push(id);
      ended[row] ||= eos.includes(id);
    });
    if (rows[0].length === most || ended.every(Boolean)) {
      return rows;
    }
    const input_ids = new ort.Tensor('int64', BigInt64Array.from(next, BigInt), [next.length, 1]);
    output = await model.language_model.run({ input_ids, ...pastOf(output) });
  }
}

/** present.{i}.key -> past_key_values.{i}.key, and values alike. */
function pastOf(output) {
  const present = Object.entries(output).filter(([name]) => name.startsWith('present.'));
  return Object.fromEntries(present.map(([name, tensor]) => [name.replace('present', 'past_key_values'), tensor]));
}

/** The most likely token of each row of logits [batch, 1, vocabulary]. */
function bestTokens({ data, dims: [batch, , vocabulary] }) {
  return Array.from({ length: batch }, (_, row) => {
    const logits = data.subarray(row * vocabulary, (row + 1) * vocabulary);
    return logits.reduce((best, value, id) => (value > logits[best] ? id : best), 0);
  });
}
