// `lorapress press --bundle single` on onnxruntime-web: one run of one graph is the whole caption; the
// generation loop, greedy or with beams, is inside.
//
//   const model = await open(ort, read);            read(path) -> Uint8Array
//   const ids = await caption(model, pixelValues);  [1, 3, H, W] float32 -> token ids
import { openGraph } from './graph.mjs';

export async function open(ort, read) {
  const manifest = JSON.parse(new TextDecoder().decode(await read('lorapress.json')));
  const { captioner } = manifest.graphs[manifest.default_dtype];
  return { ort, ...manifest, session: await openGraph(ort, read, manifest, captioner) };
}

/** `most` new tokens; 0: the folder's own max_new_tokens. */
export async function caption({ ort, session }, pixel_values, most = 0) {
  const max_new_tokens = new ort.Tensor('int64', BigInt64Array.of(BigInt(most)), []);
  const { generated_ids } = await session.run({ pixel_values, max_new_tokens });
  return Array.from(generated_ids.data, Number);
}
