// A graph of a pressed folder with its weight files, if it has any.

export async function openGraph(ort, read, manifest, path) {
  const { external_data: weights } = manifest.graph_files[path];
  const folder = path.slice(0, path.lastIndexOf('/') + 1);
  const externalData = [];
  for (const name of weights) {
    externalData.push({ path: name.slice(folder.length), data: await read(name) });
  }
  return ort.InferenceSession.create(await read(path), weights.length > 0 ? { externalData } : {});
}
