// A graph of a pressed folder with the weight files beside it, if it has any: <graph>_data, _data_1, ...

export async function openGraph(ort, read, manifest, path) {
  const beside = manifest.files.map((file) => file.path).filter((name) => name.startsWith(`${path}_data`));
  const folder = path.slice(0, path.lastIndexOf('/') + 1);
  const externalData = [];
  for (const name of beside) {
    externalData.push({ path: name.slice(folder.length), data: await read(name) });
  }
  return ort.InferenceSession.create(await read(path), beside.length > 0 ? { externalData } : {});
}
