// Bundle "llava" through AutoProcessor and AutoModelForImageTextToText of transformers.js as npm
// ships it: text before and after the image, token for token like PyTorch.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { pressCase, readGolden } from './goldens.mjs';
import { ROOT } from './program.mjs';
import { load, STACKS } from './stacks.mjs';

const BUNDLES = JSON.parse(readFileSync(join(ROOT, 'tests/goldens/bundles/bundles.json'), 'utf8'));

/** @param {'v3' | 'v4'} version */
export async function testLlava(version) {
  const stack = STACKS[version];
  const library = await load(stack);
  describe(`llava in ${stack.name} ${stack.version}`, () => {
    for (const { checkpoint } of BUNDLES.checkpoints) {
      testCase(library, checkpoint, []);
    }
    testCase(library, 'base', ['--ops', 'standard', '--external-data']);
  });
}

function testCase(library, name, options) {
  const golden = readGolden(name);
  const { prompts } = BUNDLES.checkpoints.find(({ checkpoint }) => checkpoint === name);

  describe([name, ...options].join(' '), () => {
    let processor;
    let model;
    before(async () => {
      const folder = await pressCase(golden, golden.cases[0], ['--bundle', 'llava', ...options]);
      library.env.localModelPath = dirname(folder);
      processor = await library.AutoProcessor.from_pretrained(basename(folder));
      model = await library.AutoModelForImageTextToText.from_pretrained(basename(folder));
    });
    after(() => model?.dispose());

    for (const { before: left, after: right, ids } of prompts.results) {
      const prompt = `${left ? prompts.text : ''}<image>${right ? prompts.text : ''}`;
      it(JSON.stringify(prompt), async () => {
        const image = await library.RawImage.read(golden.images[0]);
        const inputs = await processor(image, prompt);
        const output = await model.generate({ ...inputs, max_new_tokens: golden.maxNewTokens });
        const [row] = output.tolist();
        assert.deepEqual(row.slice(inputs.input_ids.dims[1]).map(Number), ids);
      });
    }

    it('captions every image', async () => {
      for (const { image, ids } of golden.cases[0].captions) {
        const inputs = await processor(await library.RawImage.read(golden.images[image]), '<image>');
        const output = await model.generate({ ...inputs, max_new_tokens: golden.maxNewTokens });
        assert.deepEqual(output.tolist()[0].slice(inputs.input_ids.dims[1]).map(Number), ids);
      }
    });
  });
}
