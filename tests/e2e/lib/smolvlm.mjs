// Bundle "smolvlm" through AutoProcessor and AutoModelForImageTextToText of transformers.js as npm
// ships it, token for token like PyTorch. Its image processor resizes other than Python's, so the
// model gets the pixels that Python's made; the prompt's ids are its own.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { press, ROOT } from './program.mjs';
import { load, STACKS } from './stacks.mjs';

const GOLDENS = join(ROOT, 'tests/goldens/smolvlm');

/** @param {'v3' | 'v4'} version */
export async function testSmolvlm(version) {
  const stack = STACKS[version];
  const library = await load(stack);
  describe(`smolvlm in ${stack.name} ${stack.version}`, () => {
    testCase(library, 'smolvlm', []);
    testCase(library, 'idefics3', []);
    testCase(library, 'smolvlm', ['--ops', 'standard']);
  });
}

function testCase(library, name, options) {
  const folder = join(GOLDENS, name);
  const golden = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8'));
  describe([name, ...options].join(' '), () => {
    let processor;
    let model;
    before(async () => {
      const all = ['--base', join(folder, 'base'), ...options];
      const out = await press(['smolvlm', name, ...options].join('_').replaceAll('-', ''), join(folder, 'adapter'), all);
      library.env.localModelPath = dirname(out);
      processor = await library.AutoProcessor.from_pretrained(basename(out));
      model = await library.AutoModelForImageTextToText.from_pretrained(basename(out), { dtype: 'fp32' });
    });
    after(() => model?.dispose());

    for (const row of golden.captions) {
      it(row.image, async () => {
        const image = await library.RawImage.read(join(GOLDENS, row.image));
        const inputs = await processor(`<image>${golden.prompt}`, [image]);
        assert.equal(inputs.pixel_values.dims[1], row.tiles);
        assert.deepEqual(inputs.input_ids.tolist()[0].map(Number), row.input_ids);
        inputs.pixel_values = await pixelsOf(library, join(folder, row.pixels), golden.tile);
        const output = await model.generate({ ...inputs, max_new_tokens: golden.max_new_tokens });
        assert.deepEqual(output.tolist()[0].slice(row.input_ids.length).map(Number), row.ids);
      });
    }
  });
}

/** The tiles, one under another in a PNG, as pixel_values [1, tiles, 3, size, size]. */
async function pixelsOf(library, file, size) {
  const { data, height, channels } = await library.RawImage.read(file);
  const tiles = height / size;
  const plane = size * size;
  const values = new Float32Array(tiles * 3 * plane);
  for (let at = 0; at < tiles * plane; at++) {
    for (let c = 0; c < 3; c++) {
      const value = Math.fround(data[at * channels + c] / 255);
      values[(Math.floor(at / plane) * 3 + c) * plane + (at % plane)] = (value - 0.5) / 0.5;
    }
  }
  return new library.Tensor('float32', values, [1, tiles, 3, size, size]);
}
