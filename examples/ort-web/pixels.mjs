// Images for the graphs: `preprocessing` of lorapress.json says what they take.

/** A file, drawn at the model's size: RGBA bytes. Canvases resize almost, not quite, as Pillow does. */
export async function draw(file, { size: { width, height } }) {
  const bitmap = await createImageBitmap(file);
  const canvas = new OffscreenCanvas(width, height).getContext('2d');
  canvas.imageSmoothingQuality = 'high';
  canvas.drawImage(bitmap, 0, 0, width, height);
  return canvas.getImageData(0, 0, width, height).data;
}

/** RGBA bytes of the model's size to float32 [1, 3, height, width]. */
export function toTensor(ort, rgba, { size: { width, height }, rescale_factor, image_mean, image_std }) {
  const plane = width * height;
  const values = new Float32Array(3 * plane);
  for (let i = 0; i < values.length; ++i) {
    const channel = Math.floor(i / plane);
    const level = rgba[(i % plane) * 4 + channel];
    values[i] = (level * rescale_factor - image_mean[channel]) / image_std[channel];
  }
  return new ort.Tensor('float32', values, [1, 3, height, width]);
}
