// Bundle "components" by the loop of examples/components, in onnxruntime-web (WebAssembly, Node): the
// four graphs, and weights that two of them share.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { caption, open } from '../../examples/components/caption.mjs';
import { pixelValues, pressCase, readGolden, untilEnd } from './lib/goldens.mjs';
import { loadBuild, RUNTIMES } from './lib/ort_web.mjs';
import { readSafetensors } from './lib/safetensors.mjs';

const GRAPHS = ['vision_encoder', 'projection', 'prefix_init', 'language_model'];

for (const version of ['v4', 'v3']) {
  const { from, builds } = RUNTIMES[version];
  const build = builds.find(({ wasm }) => wasm === 'plain');
  const ort = await loadBuild(from, build);
  describe(`components in onnxruntime-web ${build.version}`, () => {
    for (const [name, ...options] of [['base'], ['odd'], ['ropescale'], ['base', '--ops', 'standard']]) {
      testCase(ort, readGolden(name), options);
    }
  });
}

function testCase(ort, golden, options) {
  const [part] = golden.cases;
  const { data, shape } = pixelValues(golden);
  const size = data.length / shape[0];
  const images = (first, count) =>
    new ort.Tensor('float32', data.slice(first * size, (first + count) * size), [count, ...shape.slice(1)]);

  describe([golden.name, ...options].join(' '), () => {
    let model;
    let folder;
    before(async () => {
      folder = await pressCase(golden, part, ['--bundle', 'components', ...options]);
      model = await open(ort, (path) => readFileSync(join(folder, path)));
    });
    after(() => Promise.all(GRAPHS.map((name) => model?.[name].release())));

    it('captions every image', async () => {
      for (const { image, ids } of part.captions) {
        assert.deepEqual(await caption(ort, model, images(image, 1)), [ids]);
      }
    });

    it('captions a batch of two, padded as transformers pads', async () => {
      assert.deepEqual(await caption(ort, model, images(0, 2)), part.batch.ids);
    });

    it('stops at the caller\'s length', async () => {
      assert.deepEqual(await caption(ort, model, images(1, 1), 3), [part.captions[1].ids.slice(0, 3)]);
    });

    it('continues a text prompt', async () => {
      const { image, prompt_ids, ids } = part.prompt;
      const { vision_hidden_states } = await model.vision_encoder.run({ pixel_values: images(image, 1) });
      const { projected_prefix } = await model.projection.run({ vision_hidden_states });
      const output = await model.prefix_init.run({ prefix_embeddings: projected_prefix });
      const past = Object.entries(output).filter(([key]) => key.startsWith('present.'));
      const input_ids = new ort.Tensor('int64', BigInt64Array.from(prompt_ids, BigInt), [1, prompt_ids.length]);
      const feeds = Object.fromEntries(past.map(([key, value]) => [key.replace('present', 'past_key_values'), value]));
      const { logits } = await model.language_model.run({ input_ids, ...feeds });
      const best = logits.data.reduce((at, value, id) => (value > logits.data[at] ? id : at), 0);
      assert.equal(best, untilEnd(ids, golden.eos)[0]);
    });

    it('gives PyTorch\'s vision_hidden_states and projected_prefix', async () => {
      const expected = readSafetensors(join(golden.folder, 'golden/golden.safetensors'));
      const { vision_hidden_states } = await model.vision_encoder.run({ pixel_values: images(0, shape[0]) });
      assertClose(vision_hidden_states, expected.vision);
      assertClose((await model.projection.run({ vision_hidden_states })).projected_prefix, expected.prefix);
    });

    it('stores what both decoders read once', () => {
      const { files } = JSON.parse(readFileSync(join(folder, 'lorapress.json'), 'utf8'));
      const bytes = Object.fromEntries(files.map((file) => [file.path, file.bytes]));
      const shared = bytes['language_model/model.onnx_data'];
      assert.ok(bytes['prefix_init.onnx'] < shared / 2, JSON.stringify(bytes));
      assert.ok(bytes['language_model/model.onnx'] < shared / 2, JSON.stringify(bytes));
    });
  });
}

function assertClose(found, expected) {
  assert.deepEqual([...found.dims], expected.shape);
  const worst = found.data.reduce((most, value, i) => Math.max(most, Math.abs(value - expected.data[i])), 0);
  assert.ok(worst < 1e-4, `differs by up to ${worst}`);
}
