// The web builds of transformers.js, as a page loads them: no file system, everything by fetch from one
// origin, onnxruntime-web in WebAssembly. What they ask for by default (dtype, external data) is not
// what the Node builds ask for. Node is made to look like a page by two globals.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import v8 from 'node:v8';

import { pressCase, readGolden } from './goldens.mjs';
import { STACKS } from './stacks.mjs';

v8.setFlagsFromString('--liftoff-only'); // see ort_web.mjs

const MODELS = '/models/';

/** Serves folders as MODELS and answers for no other host; remembers what was asked. */
class Origin {
  /** @type {Map<string, string>} */ folders = new Map();
  /** @type {{path: string, status: number}[]} */ requests = [];

  fetch = async (/** @type {string | URL} */ input) => {
    const url = new URL(input, 'http://page.invalid/');
    assert.equal(url.host, 'page.invalid', `a request to ${url}`);
    const [name, ...rest] = url.pathname.slice(MODELS.length).split('/');
    const path = rest.join('/');
    const file = join(this.folders.get(name) ?? '/nonexistent', path);
    const found = existsSync(file);
    this.requests.push({ path, status: found ? 200 : 404 });
    const body = found ? readFileSync(file) : '';
    return new Response(body, { status: found ? 200 : 404, headers: { 'content-length': `${body.length}` } });
  };
}

/** Imports the web build. @param {import('./stacks.mjs').Stack} stack @param {Origin} origin */
async function load(stack, origin) {
  Object.defineProperty(process, 'release', { value: { name: 'page' } });
  globalThis.fetch = origin.fetch;
  const nodeBuild = createRequire(import.meta.url).resolve(stack.name);
  const fromThere = createRequire(nodeBuild);
  const library = await import(pathToFileURL(join(dirname(nodeBuild), 'transformers.web.js')).href);
  Object.assign(library.env, { allowLocalModels: true, allowRemoteModels: false, localModelPath: MODELS });
  const wasm = library.env.backends.onnx.wasm;
  wasm.wasmPaths = pathToFileURL(`${dirname(fromThere.resolve('onnxruntime-web'))}/`).href; // not from a CDN
  wasm.numThreads = 1;
  return { library, sharp: fromThere('sharp') };
}

/** @param {'v3' | 'v4'} version */
export async function testPage(version) {
  const stack = STACKS[version];
  const origin = new Origin();
  const { library, sharp } = await load(stack, origin);
  const readImage = async (/** @type {string} */ path) => {
    const { data, info } = await sharp(path).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    return new library.RawImage(new Uint8ClampedArray(data), info.width, info.height, info.channels);
  };

  describe(`${stack.name} ${stack.version}, web build`, () => {
    it('is the pinned version', () => assert.equal(library.env.version, stack.version));
    it('has no file system', () => assert.equal(library.env.useFS, false));
    const cases = [['base'], ['odd'], ['base', '--external-data'], ['odd', '--ops', 'standard', '--external-data']];
    for (const [name, ...options] of cases) {
      it([name, ...options].join(' '), async () => {
        const golden = readGolden(name);
        const [part] = golden.cases;
        const folder = await pressCase(golden, part, options);
        origin.folders.set(basename(folder), folder);
        origin.requests.length = 0;
        const pipe = await library.pipeline('image-to-text', basename(folder)); // no options: the folder says all
        for (const { image, text } of part.captions) {
          const said = await pipe(await readImage(golden.images[image]));
          assert.deepEqual(said, [{ generated_text: text.trim() }]);
        }
        assertRequests(origin.requests, folder);
        await pipe.dispose();
      });
    }
    after(() => origin.folders.clear());
  });
}

/** Every graph and data file was fetched, and nothing that is not there. */
function assertRequests(requests, folder) {
  assert.deepEqual(requests.filter(({ status }) => status !== 200), []);
  const asked = new Set(requests.map(({ path }) => path));
  const { files } = JSON.parse(readFileSync(join(folder, 'lorapress.json'), 'utf8'));
  const needed = files.map(({ path }) => path).filter((path) => path.startsWith('onnx/'));
  assert.deepEqual(needed.filter((path) => !asked.has(path)), []);
}
