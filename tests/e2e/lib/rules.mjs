// Decoders that apply repetition penalty, n-grams and bad words to their own logits (press --rules-in-graph), in
// clients that apply none: a plain greedy loop over onnxruntime-web, and stock transformers.js, whose
// generation_config.json then has no rules.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { crossGoldens, pixelValues, readGolden, untilEnd } from './goldens.mjs';
import { closeModel, generate, openModel } from './greedy.mjs';
import { loadBuild, RUNTIMES } from './ort_web.mjs';
import { press, ROOT } from './program.mjs';
import { captioner, load, STACKS } from './stacks.mjs';

const RULES = ['repetition_penalty', 'no_repeat_ngram_size', 'bad_words_ids'];
const CASES = JSON.parse(readFileSync(join(ROOT, 'tests/goldens/generation/rules.json'), 'utf8')).checkpoints;
const OPTIONS = [[], ['--ops', 'standard']];

/** Settings, and the captions by them. */
function searchesOf(searches) {
  const groups = new Map();
  for (const { options, ...caption } of searches) {
    const key = JSON.stringify(options);
    groups.set(key, { options, captions: [...(groups.get(key)?.captions ?? []), caption] });
  }
  return [...groups.values()];
}

/** One rule each, and all of them. */
function chosen(groups) {
  const single = RULES.map((rule) => groups.find(({ options }) => Object.keys(options).join() === rule));
  return [...single, groups.findLast(({ options }) => RULES.every((rule) => rule in options))].filter(Boolean);
}

/** @param {'v3' | 'v4'} version */
export async function testRules(version) {
  const stack = STACKS[version];
  const library = await load(stack);
  const { from, builds } = RUNTIMES[version];
  const ort = await loadBuild(from, builds[0]);
  const test = (golden, group, most, options) => testFolder({ library, stack, ort }, golden, group, most, options);

  describe(`rules in the graph, ${stack.name} ${stack.version}`, () => {
    for (const { checkpoint, max_new_tokens: most, searches } of CASES) {
      for (const group of chosen(searchesOf(searches))) {
        for (const options of OPTIONS) {
          test(readGolden(checkpoint), group, most, options);
        }
      }
    }
    for (const golden of crossGoldens().filter(({ name }) => ['vitgpt2', 'trocr', 'blip'].includes(name))) {
      for (const { options, image, ids, prompt_ids: prompt } of golden.cases[0].variants) {
        const { max_new_tokens: most, ...rules } = options;
        if (prompt === undefined && Object.keys(rules).every((key) => RULES.includes(key))) {
          test(golden, { options: rules, captions: [{ image, ids }] }, most, []);
        }
      }
    }
  });
}

function testFolder({ library, stack, ort }, golden, { options: rules, captions }, most, options) {
  const name = [golden.name, JSON.stringify(rules), ...options].join(' ');
  describe(name, () => {
    const pixels = pixelValues(golden);
    let folder;
    before(async () => {
      const set = Object.entries({ ...rules, max_new_tokens: most }).flatMap(([key, value]) => [
        '--set',
        `${key}=${JSON.stringify(value)}`,
      ]);
      const hash = createHash('sha256').update(name).digest('hex').slice(0, 16);
      folder = await press(`${golden.name}-rules-${hash}`, golden.checkpoint, ['--rules-in-graph', ...set, ...options]);
    });

    it('is a folder whose clients find no rule to apply', () => {
      const written = JSON.parse(readFileSync(join(folder, 'generation_config.json'), 'utf8'));
      assert.deepEqual(RULES.filter((rule) => rule in written), []);
      const manifest = JSON.parse(readFileSync(join(folder, 'lorapress.json'), 'utf8'));
      assert.deepEqual(manifest.rules_in_graph, RULES.filter((rule) => rule in rules));
    });

    it('equals generate() in a plain greedy loop', async () => {
      const model = await openModel(ort, folder);
      for (const { image, ids } of captions) {
        const [row] = await generate(ort, model, rowsOf(pixels, [image]));
        assert.deepEqual(row, ids);
      }
      if (captions.length > 1) {
        const rows = await generate(ort, model, rowsOf(pixels, captions.map(({ image }) => image)));
        const expected = captions.map(({ ids }) => untilEnd(ids, golden.eos));
        assert.deepEqual(rows.map((row) => untilEnd(row, golden.eos)), expected);
      }
      await closeModel(model);
    });

    describe('in stock transformers.js', () => {
      let pipe;
      before(async () => {
        pipe = await captioner(library, stack, folder);
      });
      after(() => pipe?.dispose());

      it('equals generate()', async () => {
        for (const { image, ids } of captions) {
          const { data, shape } = rowsOf(pixels, [image]);
          const rows = await stack.generate(pipe.model, new library.Tensor('float32', data, shape), {});
          assert.deepEqual(rows, [[pipe.model.config.decoder_start_token_id, ...ids]]);
        }
      });
    });
  });
}

function rowsOf({ shape, data }, rows) {
  const size = data.length / shape[0];
  const made = new Float32Array(size * rows.length);
  rows.forEach((row, at) => made.set(data.subarray(row * size, (row + 1) * size), at * size));
  return { shape: [rows.length, ...shape.slice(1)], data: made };
}
