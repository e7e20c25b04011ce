// The shortest way: transformers.js's own pipeline on a pressed folder.
//
//   const caption = await open(await import('@huggingface/transformers'), '/models/', 'my-model');
//   const text = await caption('photo.jpg');

/** `root`: where the folder `name` lies, an address or, in Node, a path. */
export async function open(library, root, name, options = {}) {
  Object.assign(library.env, { localModelPath: root, allowLocalModels: true, allowRemoteModels: false });
  const pipe = await library.pipeline('image-to-text', name, options);
  return async (image, generation = {}) => {
    const [{ generated_text }] = await pipe(image, generation);
    return generated_text;
  };
}
