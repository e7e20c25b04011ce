// Bundle "single" in onnxruntime-web (WebAssembly, Node): one run of one graph is the whole caption.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { pixelValues, pressCase, readGolden } from './lib/goldens.mjs';
import { loadBuild, RUNTIMES } from './lib/ort_web.mjs';
import { ROOT } from './lib/program.mjs';

const BUNDLES = JSON.parse(readFileSync(join(ROOT, 'tests/goldens/bundles/bundles.json'), 'utf8'));

for (const version of ['v4', 'v3']) {
  const { from, builds } = RUNTIMES[version];
  const build = builds.find(({ wasm }) => wasm === 'plain');
  const ort = await loadBuild(from, build);
  describe(`single in onnxruntime-web ${build.version}`, () => {
    testCase(ort, 'base', 1, []);
    testCase(ort, 'odd', 1, []);
    testCase(ort, 'base', 1, ['--ops', 'standard']);
    testCase(ort, 'base', 3, []);
    testCase(ort, 'odd', 3, ['--ops', 'standard']);
    testBytes(ort, 'base');
  });
}

function testCase(ort, name, beams, options) {
  const golden = readGolden(name);
  const { data, shape } = pixelValues(golden);
  const [own] = BUNDLES.checkpoints.find(({ checkpoint }) => checkpoint === name).searches;
  const expected = own.results.find(({ num_beams }) => num_beams === beams);

  describe([name, `${beams} beams`, ...options].join(' '), () => {
    let session;
    before(async () => {
      const choice = ['--bundle', 'single', '--num-beams', `${beams}`, ...options];
      const folder = await pressCase(golden, golden.cases[0], choice);
      session = await ort.InferenceSession.create(readFileSync(join(folder, 'onnx/model.onnx')));
    });
    after(() => session?.release());

    async function captions(first, count, most = golden.maxNewTokens) {
      const size = data.length / shape[0];
      const pixels = data.slice(first * size, (first + count) * size);
      const { generated_ids } = await session.run({
        pixel_values: new ort.Tensor('float32', pixels, [count, ...shape.slice(1)]),
        max_new_tokens: new ort.Tensor('int64', BigInt64Array.of(BigInt(most)), []),
      });
      const [batch, length] = generated_ids.dims;
      const ids = Array.from(generated_ids.data, Number);
      return Array.from({ length: batch }, (_, row) => ids.slice(row * length, (row + 1) * length));
    }

    it('captions each image', async () => {
      for (let image = 0; image < shape[0]; ++image) {
        assert.deepEqual(await captions(image, 1), [expected.alone[image]]);
      }
    });
    it('captions all images at once', async () => assert.deepEqual(await captions(0, shape[0]), expected.batch));
    it('takes 0 for the folder\'s own length', async () => assert.deepEqual(await captions(0, shape[0], 0), expected.batch));
    it('stops at the caller\'s length', async () => assert.equal((await captions(1, 1, 2))[0].length, 2));
  });
}

/** With --uint8-input: the pixels of the golden images as bytes again, which the graph preprocesses. */
function testBytes(ort, name) {
  it(`${name} --uint8-input`, async () => {
    const golden = readGolden(name);
    const [part] = golden.cases;
    const { data, shape } = pixelValues(golden);
    const [, channels, height, width] = shape;
    const folder = await pressCase(golden, part, ['--bundle', 'single', '--uint8-input']);
    const session = await ort.InferenceSession.create(readFileSync(join(folder, 'onnx/model.onnx')));
    for (const { image, ids } of part.captions) {
      const bytes = new Uint8Array(height * width * channels);
      for (let i = 0; i < bytes.length; ++i) {
        const at = ((image * channels + (i % channels)) * height * width) + Math.floor(i / channels);
        bytes[i] = Math.round((data[at] + 1) * 127.5); // mean and standard deviation are 0.5
      }
      const { generated_ids } = await session.run({
        image: new ort.Tensor('uint8', bytes, [height, width, channels]),
        max_new_tokens: new ort.Tensor('int64', BigInt64Array.of(0n), []),
      });
      assert.deepEqual(Array.from(generated_ids.data, Number), ids);
    }
    await session.release();
  });
}
