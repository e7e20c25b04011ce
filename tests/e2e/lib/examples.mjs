// examples/ort-web and examples/transformers-js in Node, each file as it stands, against the goldens.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import * as loop from '../../../examples/ort-web/loop.mjs';
import { toTensor } from '../../../examples/ort-web/pixels.mjs';
import * as single from '../../../examples/ort-web/single.mjs';
import { Captioner } from '../../../examples/transformers-js/captioner.mjs';
import { open } from '../../../examples/transformers-js/pipeline.mjs';
import { pressCase, readGolden } from './goldens.mjs';
import { load, STACKS } from './stacks.mjs';

/** @param {any} ort */
export function testOrtWeb(ort, /** @type {any} */ sharp) {
  for (const [name, way, ...options] of [
    ['base', single, '--bundle', 'single'],
    ['odd', single, '--bundle', 'single', '--external-data'],
    ['base', loop],
    ['odd', loop, '--external-data'],
  ]) {
    const golden = readGolden(name);
    const [part] = golden.cases;
    describe(`examples/ort-web, ${way === single ? 'single' : 'loop'}: ${[name, ...options].join(' ')}`, () => {
      let model;
      before(async () => {
        const folder = await pressCase(golden, part, options);
        model = await way.open(ort, async (path) => readFileSync(join(folder, path)));
      });
      const pixels = async (image) => {
        const rgba = await sharp(golden.images[image]).ensureAlpha().raw().toBuffer();
        return toTensor(ort, rgba, model.preprocessing);
      };

      for (const { image, ids } of part.captions) {
        it(`captions image ${image}`, async () => assert.deepEqual(await way.caption(model, await pixels(image)), ids));
      }
      it('stops at the caller\'s length', async () => {
        const most = way === single ? 2 : { most: 2 };
        assert.deepEqual(await way.caption(model, await pixels(1), most), part.captions[1].ids.slice(0, 2));
      });
      if (way === loop) {
        it('goes on from a prompt and tells each token', async () => {
          const { image, prompt_ids: prompt, ids } = part.prompt;
          const told = [];
          const found = await loop.caption(model, await pixels(image), { prompt, onToken: (id) => told.push(id) });
          assert.deepEqual([found, told], [ids, ids]);
        });
      }
    });
  }
}

/** @param {'v4' | 'v3'} version */
export async function testTransformersJs(version) {
  const stack = STACKS[version];
  const library = await load(stack);
  const golden = readGolden('base');
  const [part] = golden.cases;
  describe(`examples/transformers-js, ${stack.name} ${stack.version}`, () => {
    let place;
    let captioner;
    before(async () => {
      const folder = await pressCase(golden, part);
      place = [`${dirname(folder)}/`, basename(folder)];
      captioner = await Captioner.load(library, ...place);
    });
    after(() => captioner?.dispose());

    it('pipeline.mjs captions', async () => {
      const caption = await open(library, ...place);
      for (const { image, text } of part.captions) {
        assert.equal(await caption(golden.images[image]), text.trim());
      }
    });

    it('captioner.mjs captions, with text as it comes', async () => {
      for (const { image, ids, text } of part.captions) {
        const pieces = [];
        const found = await captioner.caption(golden.images[image], { onText: (piece) => pieces.push(piece) });
        assert.deepEqual(found, { ids, text });
        assert.equal(pieces.join('').trim(), text.trim());
      }
    });

    it('goes on from a prompt', async () => {
      const { image, prompt_text: prompt, ids } = part.prompt;
      assert.deepEqual((await captioner.caption(golden.images[image], { prompt })).ids, ids);
    });

    it('obeys a signal', async () => {
      const controller = new AbortController();
      let pieces = 0;
      const onText = () => (pieces++, controller.abort(new Error('enough')));
      await assert.rejects(captioner.caption(golden.images[0], { onText, signal: controller.signal }), /enough/);
      assert.ok(pieces < 4, `${pieces} pieces`);
    });
  });
}
