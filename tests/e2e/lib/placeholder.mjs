// Real LLaVA, SmolVLM and Idefics3 checkpoints through AutoProcessor and AutoModelForImageTextToText of transformers.js as
// npm ships it, token for token like PyTorch. Its image processors resize other than Python's, so the model gets the pixels that
// Python's made, except where an image has the model's own size; the prompt's ids are its own.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { press, ROOT } from './program.mjs';
import { readSafetensors } from './safetensors.mjs';
import { load, STACKS } from './stacks.mjs';

/** Half the largest value would be a wrong feature; sums of another order are this far apart. */
const TOLERANCE = 2e-4;

/**
 * @param {'v3' | 'v4'} version
 * @param {[name: string, ...options: string[]][]} cases below tests/goldens
 */
export async function testPlaceholder(version, cases) {
  const stack = STACKS[version];
  const library = await load(stack);
  describe(`${dirname(cases[0][0])} in ${stack.name} ${stack.version}`, () => {
    for (const [name, ...options] of cases) {
      testCase(library, stack, name, options);
    }
  });
}

function testCase(library, stack, name, options) {
  const folder = join(ROOT, 'tests/goldens', name);
  const golden = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8'));
  const tiled = golden.tile !== undefined;
  const image = (/** @type {{image: string}} */ row) => library.RawImage.read(join(folder, '..', row.image));

  describe([name, ...options].join(' '), () => {
    let made;
    let processor;
    let model;
    const process = (picture, prompt) => (tiled ? processor(prompt, [picture]) : processor(picture, prompt));
    const generated = async (inputs, more = {}) => {
      const output = await model.generate({ ...inputs, max_new_tokens: golden.max_new_tokens, ...more });
      return output.tolist()[0].slice(inputs.input_ids.dims[1]).map(Number);
    };
    before(async () => {
      const [checkpoint, base] = ['adapter', 'base'].map((part) => join(folder, part));
      const source = existsSync(checkpoint) ? [checkpoint, '--base', base] : [base];
      const out = [name, ...options].join('_').replaceAll(/[-/,]/g, '');
      made = await press(out, source[0], [...source.slice(1), ...options]);
      library.env.localModelPath = dirname(made);
      processor = await library.AutoProcessor.from_pretrained(basename(made));
      model = await library.AutoModelForImageTextToText.from_pretrained(basename(made), { dtype: 'fp32' });
    });
    after(() => model?.dispose());

    for (const row of golden.captions) {
      it(row.image, async () => {
        const inputs = await process(await image(row), `<image>${golden.prompt}`);
        assert.deepEqual(inputs.input_ids.tolist()[0].map(Number), row.input_ids);
        inputs.pixel_values = await pixelsOf(library, join(folder, row.pixels), golden, processor);
        assert.deepEqual(await generated(inputs), row.ids);
      });
    }

    it('takes the image where the prompt says it stands', async () => {
      const { placed } = golden;
      const { pixels } = golden.captions.find((row) => row.image === placed.image);
      const inputs = await process(await image(placed), placed.prompt);
      assert.deepEqual(inputs.input_ids.tolist()[0].map(Number), placed.input_ids);
      inputs.pixel_values = await pixelsOf(library, join(folder, pixels), golden, processor);
      assert.deepEqual(await generated(inputs), placed.ids);
    });

    it('asks through the chat template', async () => {
      for (const row of golden.chat) {
        const content = [{ type: 'image' }, { type: 'text', text: row.prompt }];
        const messages = [{ role: 'user', content }];
        if (row.system !== '') {
          messages.unshift({ role: 'system', content: [{ type: 'text', text: row.system }] });
        }
        const text = processor.apply_chat_template(messages, { add_generation_prompt: true });
        assert.equal(text, row.text);
        const { pixels } = golden.captions.find(({ image }) => image === row.image);
        const inputs = await process(await image(row), text);
        // Python's processor leaves out the first token that the template wrote; this one writes it twice.
        const ids = row.input_ids.map(BigInt);
        for (const key of ['input_ids', 'attention_mask']) {
          const data = key === 'input_ids' ? ids : ids.map(() => 1n);
          inputs[key] = new library.Tensor('int64', data, [1, ids.length]);
        }
        inputs.pixel_values = await pixelsOf(library, join(folder, pixels), golden, processor);
        assert.deepEqual(await generated(inputs), row.ids);
      }
    });

    it('rules see the prompt', async () => {
      const { prompt, variants, ...row } = golden.rules;
      const { pixels } = golden.captions.find(({ image }) => image === row.image);
      const inputs = await process(await image(row), `<image>${prompt}`);
      inputs.pixel_values = await pixelsOf(library, join(folder, pixels), golden, processor);
      const followed = variants.filter(({ options }) => Object.keys(options).every((key) => stack.settings.includes(key)));
      assert.ok(followed.length > 4, `${followed.length}`);
      for (const { options, ids } of followed) {
        assert.deepEqual(await generated(inputs, options), ids, JSON.stringify(options));
      }
    });

    const dtypes = options.includes('--dtype') ? options[options.indexOf('--dtype') + 1].split(',') : [];
    for (const dtype of dtypes.filter((dtype) => dtype !== 'fp32')) {
      it(`runs as ${dtype}`, async () => {
        const [row] = golden.captions;
        const small = await library.AutoModelForImageTextToText.from_pretrained(basename(made), { dtype });
        const inputs = await process(await image(row), `<image>${golden.prompt}`);
        inputs.pixel_values = await pixelsOf(library, join(folder, row.pixels), golden, processor);
        const output = await small.generate({ ...inputs, max_new_tokens: golden.max_new_tokens });
        const ids = output.tolist()[0].slice(row.input_ids.length).map(Number);
        assert.ok(ids.length > 0 && ids.length <= golden.max_new_tokens);
        if (dtype === 'fp16') {
          assert.deepEqual(ids, row.ids);
        }
        await small.dispose();
      });
    }

    if (golden.batch !== undefined && golden.batch.tiles > 1) {
      it('leaves out the tiles that fill up a batch', () => testBatch(library, model, folder, golden, processor));
    }
    if (!tiled && name.endsWith('siglip')) {
      it('makes the pixels of an image of its own size itself', async () => {
        const [row] = golden.captions;
        const inputs = await process(await image(row), `<image>${golden.prompt}`);
        assert.deepEqual(await generated(inputs), row.ids);
      });
    }
  });
}

/**
 * Decoders that apply rules to their own logits, though all they get is embeddings: the client applies none.
 * @param {'v3' | 'v4'} version
 */
export async function testRulesInside(version, names) {
  const stack = STACKS[version];
  const library = await load(stack);
  for (const name of names) {
    const folder = join(ROOT, 'tests/goldens', name);
    const golden = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8'));
    const { prompt, variants, image } = golden.rules;
    const inside = variants.filter(({ options }) =>
      ['repetition_penalty', 'no_repeat_ngram_size', 'bad_words_ids'].includes(Object.keys(options).join()),
    );
    for (const { options, ids } of inside) {
      it(`${name} with ${JSON.stringify(options)} in the graph, ${stack.name} ${stack.version}`, async () => {
        const set = Object.entries(options).flatMap(([key, value]) => ['--set', `${key}=${JSON.stringify(value)}`]);
        const out = `${name}_rules_${Object.entries(options).join()}`.replaceAll(/[-/,.]/g, '');
        const [checkpoint, base] = ['adapter', 'base'].map((part) => join(folder, part));
        const source = existsSync(checkpoint) ? [checkpoint, '--base', base] : [base];
        const made = await press(out, source[0], [...source.slice(1), '--rules-in-graph', ...set]);
        library.env.localModelPath = dirname(made);
        const processor = await library.AutoProcessor.from_pretrained(basename(made));
        const model = await library.AutoModelForImageTextToText.from_pretrained(basename(made), { dtype: 'fp32' });
        const picture = await library.RawImage.read(join(folder, '..', image));
        const text = `<image>${prompt}`;
        const inputs = await (golden.tile === undefined ? processor(picture, text) : processor(text, [picture]));
        const { pixels } = golden.captions.find((row) => row.image === image);
        inputs.pixel_values = await pixelsOf(library, join(folder, pixels), golden, processor);
        const output = await model.generate({ ...inputs, max_new_tokens: golden.max_new_tokens });
        assert.deepEqual(output.tolist()[0].slice(inputs.input_ids.dims[1]).map(Number), ids);
        await model.dispose();
      });
    }
  }
}

/** Images of different numbers of tiles in one call: their features, and nothing for tiles of zeros. */
async function testBatch(library, model, folder, golden, processor) {
  const { images, tiles } = golden.batch;
  const plane = 3 * golden.tile ** 2;
  const pixels = new Float32Array(images.length * tiles * plane);
  const mask = new Uint8Array((pixels.length / 3) | 0);
  for (const [i, image] of images.entries()) {
    const row = golden.captions.find((row) => row.image === image);
    const { data } = await pixelsOf(library, join(folder, row.pixels), golden, processor);
    pixels.set(data, i * tiles * plane);
    mask.fill(1, (i * tiles * plane) / 3, (i * tiles * plane + data.length) / 3);
  }
  const shape = [images.length, tiles, golden.tile, golden.tile];
  const { image_features: found } = await model.sessions.vision_encoder.run({
    pixel_values: tensorOf(library, 'float32', pixels, [...shape.slice(0, 2), 3, ...shape.slice(2)]),
    pixel_attention_mask: tensorOf(library, 'bool', mask, shape),
  });
  const tensors = readSafetensors(join(folder, 'golden.safetensors'));
  const expected = images.flatMap((image) => [...tensors[image].data]);
  assert.equal(found.data.length, expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  const worst = Math.max(...expected.map((value, i) => Math.abs(value - found.data[i])));
  assert.ok(worst < TOLERANCE * largest, `features differ by up to ${worst} of ${largest}`);
}

const tensorOf = (library, type, data, dims) => new library.Tensor(type, data, dims).ort_tensor;

/** The levels in a PNG, tiles one under another, as pixel_values. */
async function pixelsOf(library, file, golden, processor) {
  const { data, width, height, channels } = await library.RawImage.read(file);
  const { image_mean: mean, image_std: std } = processor.image_processor;
  const tiles = height / width;
  const plane = width * width;
  const values = new Float32Array(tiles * 3 * plane);
  for (let at = 0; at < tiles * plane; at++) {
    for (let c = 0; c < 3; c++) {
      const value = (data[at * channels + c] / 255 - mean[c]) / std[c];
      values[(Math.floor(at / plane) * 3 + c) * plane + (at % plane)] = value;
    }
  }
  const dims = golden.tile === undefined ? [1, 3, width, width] : [1, tiles, 3, width, width];
  return new library.Tensor('float32', values, dims);
}
