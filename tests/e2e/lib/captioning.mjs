// The tests that every version of transformers.js must pass, token for token. The golden images have
// the model's own size, so that no resizing enters.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { crossGoldens, goldensOfOwnSize, pixelValues, pressCase, pressWithFile, readGolden, untilEnd } from './goldens.mjs';
import { press, ROOT } from './program.mjs';
import { captioner, load, parts, STACKS } from './stacks.mjs';

const DEMO = join(ROOT, 'models/demo');

/** @param {keyof typeof STACKS} version */
export async function testVersion(version) {
  const stack = STACKS[version];
  const library = await load(stack);

  describe(`${stack.name} ${stack.version}`, () => {
    it('is the pinned version', () => assert.equal(library.env.version, stack.version));
    for (const golden of goldensOfOwnSize()) {
      for (const part of golden.cases) {
        testCase(library, stack, golden, part, stack.press);
      }
    }
    const base = readGolden('base');
    for (const options of stack.variants) {
      testCase(library, stack, base, base.cases[0], options);
    }
    testAutoClasses(library, stack, base);
    if (stack.settings.length > 0) {
      testGenerationFiles(library, stack);
    }
    testDemo(library, stack);
  });
}

/** VisionEncoderDecoder and BLIP. @param {keyof typeof STACKS} version */
export async function testCross(version) {
  const stack = STACKS[version];
  const library = await load(stack);
  describe(`cross attention in ${stack.name} ${stack.version}`, () => {
    for (const golden of crossGoldens()) {
      for (const part of golden.cases) {
        testCase(library, stack, golden, part, stack.press);
      }
    }
  });
}

/** What is generated after the start token and the prompt. */
async function generateIds(stack, model, pixels, options, prompt = 1) {
  const rows = await stack.generate(model, pixels, options);
  return rows.map((ids) => ids.slice(prompt));
}

function testCase(library, stack, golden, part, options) {
  describe([golden.name, part.name, ...options].join(' '), () => {
    let pipe;
    let pixels; // of all images
    before(async () => {
      pipe = await captioner(library, stack, await pressCase(golden, part, options));
      const images = await Promise.all(golden.images.map((image) => library.RawImage.read(image)));
      pixels = (await pipe.processor(images)).pixel_values;
    });
    after(() => pipe?.dispose());

    it('makes the pixels that PyTorch got', () => assertPixels(pixels, pixelValues(golden)));

    for (const caption of part.captions) {
      it(`captions image ${caption.image}`, async () => {
        const said = await pipe(golden.images[caption.image]);
        assert.deepEqual(said, [{ generated_text: caption.text.trim() }]); // as the pipeline trims
        const [ids] = await generateIds(stack, pipe.model, pick(pixels, [caption.image]), {});
        assert.deepEqual(ids, caption.ids);
        assert.equal(pipe.tokenizer.decode(ids, { skip_special_tokens: true }), caption.text);
      });
    }

    it('continues a text prompt', async () => {
      const { image, prompt_ids: prompt, ids } = part.prompt;
      const start = pipe.model.config.decoder_start_token_id;
      const given = [start, ...prompt];
      const decoder_input_ids = new library.Tensor('int64', given.map(BigInt), [1, given.length]);
      const rows = await stack.generate(pipe.model, pick(pixels, [image]), { decoder_input_ids });
      assert.deepEqual(rows, [[...given, ...ids]]);
    });

    it('captions a batch of two', async () => {
      const rows = await generateIds(stack, pipe.model, pick(pixels, part.batch.images), {});
      // transformers.js does not pad: a row that has ended goes on until all have.
      assert.deepEqual(rows.map((ids) => untilEnd(ids, golden.eos)), part.batch.ids.map((ids) => untilEnd(ids, golden.eos)));
    });

    it('obeys max_new_tokens of the caller', async () => {
      const [ids] = await generateIds(stack, pipe.model, pick(pixels, [1]), { max_new_tokens: 3 });
      assert.deepEqual(ids, part.captions[1].ids.slice(0, 3));
    });
  });
}

/** Rows of a [images, 3, H, W] tensor. */
function pick(tensor, rows) {
  const size = tensor.data.length / tensor.dims[0];
  const data = new Float32Array(size * rows.length);
  rows.forEach((row, at) => data.set(tensor.data.subarray(row * size, (row + 1) * size), at * size));
  return new tensor.constructor('float32', data, [rows.length, ...tensor.dims.slice(1)]);
}

function assertPixels(found, expected) {
  assert.deepEqual(found.dims, expected.shape);
  let worst = 0;
  found.data.forEach((value, i) => (worst = Math.max(worst, Math.abs(value - expected.data[i]))));
  assert.ok(worst < 1e-6, `pixel values differ by up to ${worst}`);
}

function testAutoClasses(library, stack, golden) {
  it('runs by AutoProcessor, AutoTokenizer and AutoModelForVision2Seq', async () => {
    const [part] = golden.cases;
    const { processor, tokenizer, model } = await parts(library, stack, await pressCase(golden, part, stack.press));
    const { pixel_values } = await processor(await library.RawImage.read(golden.images[0]));
    const ids = await generateIds(stack, model, pixel_values, {});
    assert.deepEqual(ids, [part.captions[0].ids]);
    assert.deepEqual(tokenizer.batch_decode(ids, { skip_special_tokens: true }), [part.captions[0].text]);
    await model.dispose();
  });
}

/** Checkpoints with a generation_config.json, where this version follows all of it: captions without options. */
function testGenerationFiles(library, stack) {
  const { checkpoints } = JSON.parse(readFileSync(join(ROOT, 'tests/goldens/generation/files.json'), 'utf8'));
  const ours = ['eos_token_id', 'pad_token_id', 'transformers_version', 'house_rule', 'typical_p'];
  const lengths = ['max_new_tokens', 'max_length', 'min_new_tokens', 'min_length'];
  const followed = new Set([...ours, ...lengths, ...stack.settings]);
  for (const { checkpoint, searches } of checkpoints) {
    const golden = readGolden(checkpoint);
    const rows = searches.filter(({ file }) => Object.keys(file).every((key) => followed.has(key)));
    it(`${checkpoint}: there are files to follow`, () => assert.ok(rows.length > 5, `${rows.length}`));
    for (const { file, captions } of rows) {
      it(`${checkpoint}: follows ${JSON.stringify(file)}`, async () => {
        const pipe = await captioner(library, stack, await pressWithFile(golden, file, stack.press));
        const images = await Promise.all(golden.images.map((image) => library.RawImage.read(image)));
        const { pixel_values } = await pipe.processor(images);
        for (const { image, ids } of captions) {
          assert.deepEqual(await generateIds(stack, pipe.model, pick(pixel_values, [image]), {}), [ids]);
        }
        await pipe.dispose();
      });
    }
  }
}

/** The trained checkpoint says what transformers' own generate said about the same files. */
function testDemo(library, stack) {
  describe('models/demo', () => {
    const expected = JSON.parse(readFileSync(join(DEMO, 'images/captions.json'), 'utf8'));
    const scenes = Object.keys(expected).filter((file) => file.endsWith('.png')); // 64x64, the model's size
    let pipe;
    before(async () => {
      pipe = await captioner(library, stack, await press(`demo${stack.press.join('')}`, DEMO, stack.press));
    });
    after(() => pipe?.dispose());

    it('has pictures', () => assert.ok(scenes.length >= 4, `${scenes.length} pictures`));
    for (const file of scenes) {
      it(`captions ${file}`, async () => {
        const [{ generated_text }] = await pipe(join(DEMO, 'images', file));
        assert.equal(generated_text, expected[file]);
      });
    }
  });
}
