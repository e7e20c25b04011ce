// The builds of onnxruntime-web that come with each version of transformers.js, run on their CPU
// (WebAssembly) in Node: does every operator we write exist in browsers, and does it say the same?

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import v8 from 'node:v8';

import { allGoldens, pixelValues, pressCase, readGolden, untilEnd } from './goldens.mjs';
import { closeModel, generate, openModel } from './greedy.mjs';

// Optimizing 27 MB of WebAssembly in the background costs many seconds and gains nothing here.
v8.setFlagsFromString('--liftoff-only');

/**
 * @typedef {object} Build
 * @property {string} file in onnxruntime-web/dist
 * @property {string} wasm that it loads
 * @property {string} version of onnxruntime-web
 */

/** @type {Record<string, {from: string, press: string[], external: boolean, builds: Build[]}>} */
export const RUNTIMES = {
  v4: {
    from: 'transformers-v4',
    press: [],
    external: true,
    builds: [
      { file: 'ort.webgpu.min.mjs', wasm: 'asyncify', version: '1.31.0-dev.20260914-8d85527a0' }, // used by 4.3.1
      { file: 'ort.wasm.min.mjs', wasm: 'plain', version: '1.31.0-dev.20260914-8d85527a0' },
    ],
  },
  v3: {
    from: 'transformers-v3',
    press: [],
    external: true,
    builds: [
      { file: 'ort.min.mjs', wasm: 'jsep', version: '1.22.0-dev.20250409-89f8206ba4' }, // used by 3.8.1
      { file: 'ort.wasm.min.mjs', wasm: 'plain', version: '1.22.0-dev.20250409-89f8206ba4' },
    ],
  },
  v2: {
    from: 'transformers-v2',
    press: ['--ops', 'standard'],
    external: false,
    builds: [{ file: 'ort-web.node.js', wasm: 'plain', version: '1.14.0' }],
  },
};

/** @param {string} alias @param {Build} build */
export async function loadBuild(alias, build) {
  const fromHere = createRequire(import.meta.url);
  const fromThere = createRequire(fromHere.resolve(alias));
  const dist = dirname(fromThere.resolve('onnxruntime-web'));
  assert.equal(fromThere(join(dist, '../package.json')).version, build.version);
  const module = await import(pathToFileURL(join(dist, build.file)).href);
  const ort = module.InferenceSession ? module : module.default;
  ort.env.wasm.numThreads = 1;
  return ort;
}

/** @param {keyof typeof RUNTIMES} version */
export async function testRuntime(version) {
  const { from, press, external, builds } = RUNTIMES[version];
  const base = readGolden('base');
  for (const build of builds) {
    const ort = await loadBuild(from, build);
    describe(`onnxruntime-web ${build.version}, ${build.wasm} WebAssembly`, () => {
      for (const golden of allGoldens()) {
        for (const part of golden.cases) {
          testCase(ort, golden, part, press);
        }
      }
      if (external) {
        testCase(ort, base, base.cases[0], ['--external-data']);
      }
    });
  }
}

function testCase(ort, golden, part, options) {
  const pixels = pixelValues(golden);
  const size = pixels.data.length / pixels.shape[0];
  const rows = (first, count) => ({
    shape: [count, ...pixels.shape.slice(1)],
    data: pixels.data.slice(first * size, (first + count) * size),
  });

  describe([golden.name, part.name, ...options].join(' '), () => {
    let model;
    before(async () => {
      model = await openModel(ort, await pressCase(golden, part, options));
    });
    after(() => model && closeModel(model));

    it('captions every image', async () => {
      for (const { image, ids } of part.captions) {
        assert.deepEqual(await generate(ort, model, rows(image, 1)), [ids]);
      }
    });

    it('continues a text prompt', async () => {
      const { image, prompt_ids, ids } = part.prompt;
      assert.deepEqual(await generate(ort, model, rows(image, 1), prompt_ids), [ids]);
    });

    it('captions a batch of two', async () => {
      assert.deepEqual(part.batch.images, [0, 1]);
      const found = await generate(ort, model, rows(0, 2));
      assert.deepEqual(found.map((ids) => untilEnd(ids, golden.eos)), part.batch.ids.map((ids) => untilEnd(ids, golden.eos)));
    });
  });
}
