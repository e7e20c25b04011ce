// Bundle "firefox" in stock transformers.js as Firefox drives it: a remote host with Firefox's template, every file
// through its loader, the classes and the dtype that it names, generate() without any option.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { Loader, serve } from './hub.mjs';
import { ROOT, run, shared } from './program.mjs';
import { STACKS } from './stacks.mjs';

const DEMO = join(ROOT, 'models/demo');
export const MODEL = 'test-org/demo_1.0';
export const EXPECTED = JSON.parse(readFileSync(join(DEMO, 'images/captions.json'), 'utf8'));
export const SCENES = readdirSync(join(DEMO, 'images')).filter((file) => file.endsWith('.png'));

/** A hub with two revisions of the demo model. @returns {Promise<string>} its folder */
export function pressHub() {
  return shared('hub', async (out) => {
    for (const revision of ['main', 'v1.0.0']) {
      const { status, stderr } = await run(['press', DEMO, out, '--bundle', 'firefox', '--model-id', MODEL, '--revision', revision]);
      assert.equal(status, 0, stderr);
    }
  });
}

/** What Firefox's imageToText does. */
export async function caption(library, { model, processor, tokenizer }, /** @type {string} */ file) {
  const { pixel_values } = await processor(await library.RawImage.read(join(DEMO, 'images', file)));
  const output = await model.generate({ inputs: pixel_values });
  return tokenizer.batch_decode(output, { skip_special_tokens: true })[0].trim();
}

/** @param {'v3' | 'v4'} version */
export async function testHub(version) {
  const stack = STACKS[version];
  const library = await import(stack.name);
  describe(`bundle firefox in ${stack.name} ${stack.version}`, () => {
    let server;
    let parts;
    const load = async (/** @type {Loader} */ loader, /** @type {string} */ revision) => {
      Object.assign(library.env, {
        allowLocalModels: false,
        allowRemoteModels: true,
        useBrowserCache: false,
        useFSCache: false,
        useCustomCache: true,
        customCache: loader.cacheFor(MODEL, revision),
        remoteHost: loader.root,
        remotePathTemplate: loader.template,
      });
      const [model, tokenizer, processor] = await Promise.all([
        library.AutoModelForVision2Seq.from_pretrained(MODEL, { revision, dtype: 'q8', device: 'cpu', use_external_data_format: false }),
        library.AutoTokenizer.from_pretrained(MODEL, { revision }),
        library.AutoProcessor.from_pretrained(MODEL, { revision }),
      ]);
      return { model, tokenizer, processor };
    };
    before(async () => {
      server = await serve(await pressHub());
    });
    after(() => server?.stop());

    for (const [revision, template] of [['main', '{model}/{revision}'], ['v1.0.0', '{model}/{revision}'], ['v1.0.0', '{model}/resolve/{revision}']]) {
      it(`captions from ${revision} by ${template}`, async () => {
        const loader = new Loader(`http://localhost:${server.port}/`, template);
        parts = await load(loader, revision);
        for (const file of SCENES) {
          assert.equal(await caption(library, parts, file), EXPECTED[file]);
        }
        await parts.model.dispose();
        const asked = loader.requests.filter(({ method, url }) => method === 'GET' && url.includes('/onnx/')).map(({ url }) => new URL(url).pathname.split('/').pop());
        assert.deepEqual(asked.sort(), ['decoder_model_merged_quantized.onnx', 'encoder_model_quantized.onnx']);
      });
    }
  });
}
