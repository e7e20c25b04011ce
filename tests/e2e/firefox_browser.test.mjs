// Firefox of the system, headless: its own runtime for models, on what bundle "firefox" wrote and `lorapress serve`
// gives; and our page and runtime, from a static server that sends no headers of its own.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { Firefox, findFirefox } from './lib/firefox.mjs';
import { EXPECTED, MODEL, pressHub, SCENES } from './lib/firefox_hub.mjs';
import { readGolden } from './lib/goldens.mjs';
import { serve } from './lib/hub.mjs';
import { press, ROOT, run, scratch } from './lib/program.mjs';

const IMAGES = join(ROOT, 'models/demo/images');
const program = findFirefox();
assert.ok(program, 'no firefox-esr (tools/setup.sh test; FIREFOX names another)');

/** onnxruntime-web of the version that is built into Firefox's transformers.js 3.5: that of 3.8. */
function ortFolder() {
  const fromThere = createRequire(createRequire(import.meta.url).resolve('transformers-v3'));
  const dist = dirname(fromThere.resolve('onnxruntime-web'));
  return { dist, version: fromThere(join(dist, '../package.json')).version };
}

/**
 * A copy of Firefox by links, with ONNX Runtime beside its library, where its native backend looks: Debian's package
 * has the backend, not the library.
 */
function withNativeRuntime(name = 'firefox') {
  const folder = join(ROOT, '.deps/onnxruntime/lib');
  const library = readdirSync(folder).find((name) => /^libonnxruntime\.so\.\d+\./.test(name));
  assert.ok(library, `no ONNX Runtime in ${folder} (tools/fetch_deps.sh)`);
  const installed = ['/usr/lib/firefox-esr', '/usr/lib/firefox', dirname(program)].find((place) => existsSync(join(place, 'libxul.so')));
  assert.ok(installed, 'libxul.so is not where Debian puts it');
  const copy = scratch(name);
  mkdirSync(copy);
  for (const entry of readdirSync(installed)) {
    symlinkSync(join(installed, entry), join(copy, entry));
  }
  for (const entry of readdirSync(installed).filter((entry) => /^firefox(-esr|-bin)?$/.test(entry))) {
    rmSync(join(copy, entry));
    cpSync(join(installed, entry), join(copy, entry), { dereference: true }); // it finds its folder by its own place
  }
  copyFileSync(join(folder, library), join(copy, 'libonnxruntime.so'));
  return join(copy, 'firefox-bin');
}

/** Runs in the browser's own window: an engine of Firefox's, one caption per image. */
async function captionWithEngine(backend, root, model, revision, dtype, wasm, images) {
  const { MLEngineParent } = ChromeUtils.importESModule('resource://gre/actors/MLEngineParent.sys.mjs');
  const { createEngine } = ChromeUtils.importESModule('chrome://global/content/ml/EngineProcess.sys.mjs');
  const collection = (records) => ({
    get: async () => records,
    on: () => {},
    attachments: { download: async () => ({ buffer: await (await fetch(wasm)).arrayBuffer() }) },
  });
  // What Mozilla's servers would say: which WebAssembly to run, no defaults for the task, this hub is allowed.
  MLEngineParent.mockRemoteSettings({
    'ml-onnx-runtime': collection([{ id: 'ort', name: 'ort-wasm-simd-threaded.jsep.wasm', version: `${MLEngineParent.WASM_MAJOR_VERSION.onnx}.0` }]),
    'ml-inference-options': collection([]),
    'ml-model-allow-deny-list': collection([{ id: 'hub', filter: 'ALLOW', urlPrefix: root }]),
  });
  const names = { modelId: model, tokenizerId: model, processorId: model };
  const revisions = { modelRevision: revision, tokenizerRevision: revision, processorRevision: revision };
  const engine = await createEngine({
    ...names, ...revisions, backend, dtype, taskName: 'moz-image-to-text', engineId: `test-${backend}-${revision.replaceAll('.', '-')}`,
    modelHubRootUrl: root, modelHubUrlTemplate: '{model}/{revision}', numThreads: 1, timeoutMS: -1,
  });
  const texts = [];
  for (const image of images) {
    const bitmap = await createImageBitmap(await (await fetch(image)).blob());
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
    canvas.drawImage(bitmap, 0, 0);
    const { data, width, height } = canvas.getImageData(0, 0, bitmap.width, bitmap.height);
    const { output } = await engine.run({ data, width, height, channels: 4 });
    texts.push(output);
  }
  await engine.terminate();
  return texts;
}

const pictures = SCENES.map((file) => `data:image/png;base64,${readFileSync(join(IMAGES, file)).toString('base64')}`);
const expected = SCENES.map((file) => EXPECTED[file]);

describe("Firefox's own runtime", () => {
  const ort = ortFolder();
  let hub;
  let wasm;
  before(async () => {
    hub = await serve(await pressHub());
    wasm = await serve(ort.dist);
  });
  after(() => {
    hub?.stop();
    wasm?.stop();
  });

  for (const [backend, revision] of [['onnx', 'main'], ['onnx', 'v1.0.0'], ['onnx-native', 'v1.0.0']]) {
    it(`captions with backend ${backend} from ${revision}`, async () => {
      const place = backend === 'onnx-native' ? withNativeRuntime() : program;
      const firefox = await Firefox.start(place, { 'browser.ml.enable': true, 'browser.ml.checkForMemory': false });
      try {
        const built = await firefox.run(
          async () => (await (await fetch('chrome://global/content/ml/ort.webgpu.mjs')).text()).match(/"(1\.\d+\.\d+(-dev[^"]*)?)"/)?.[1],
          [],
          'chrome',
        );
        assert.equal(built, ort.version, `Firefox ${firefox.version} is built for another onnxruntime-web than transformers.js 3.8: give it that`);
        const root = `http://localhost:${hub.port}/`;
        const url = `http://localhost:${wasm.port}/ort-wasm-simd-threaded.jsep.wasm`;
        assert.deepEqual(await firefox.run(captionWithEngine, [backend, root, MODEL, revision, 'q8', url, pictures], 'chrome'), expected);
      } finally {
        await firefox.close();
      }
    });
  }
});

/** A hub with a checkpoint whose generation_config.json has rules, one revision each; what generate() says of them. */
async function pressRules() {
  const golden = readGolden('base');
  const { checkpoints } = JSON.parse(readFileSync(join(ROOT, 'tests/goldens/generation/files.json'), 'utf8'));
  const { searches } = checkpoints.find(({ checkpoint }) => checkpoint === golden.name);
  const has = (file, ...keys) => keys.every((key) => key in file) && !('num_beams' in file) && !('suppress_tokens' in file);
  const rows = [['v1', 'bad_words_ids'], ['v2', 'repetition_penalty']].map(([revision, key]) => ({ revision, ...searches.find(({ file }) => has(file, key)) }));
  const out = scratch('hub-rules');
  for (const { revision, file } of rows) {
    const checkpoint = scratch(`rules-${revision}`);
    cpSync(golden.checkpoint, checkpoint, { recursive: true });
    writeFileSync(join(checkpoint, 'generation_config.json'), JSON.stringify(file));
    const { status, stderr } = await run(['press', checkpoint, out, '--bundle', 'firefox', '--model-id', MODEL, '--revision', revision, '--dtype', 'fp32']);
    assert.equal(status, 0, stderr);
  }
  return { out, golden, rows };
}

it("Firefox's native backend, which loses the rules of transformers.js, follows those inside the decoder", async () => {
  const { out, golden, rows } = await pressRules();
  const { AutoTokenizer, env } = await import('transformers-v3');
  Object.assign(env, { allowLocalModels: true, allowRemoteModels: false, localModelPath: join(out, MODEL) });
  const hub = await serve(out);
  const firefox = await Firefox.start(withNativeRuntime('firefox-rules'), { 'browser.ml.enable': true, 'browser.ml.checkForMemory': false });
  try {
    for (const { revision, captions } of rows) {
      const tokenizer = await AutoTokenizer.from_pretrained(revision);
      const images = captions.map(({ image }) => `data:image/png;base64,${readFileSync(golden.images[image]).toString('base64')}`);
      const texts = await firefox.run(captionWithEngine, ['onnx-native', `http://localhost:${hub.port}/`, MODEL, revision, 'fp32', 'data:,', images], 'chrome');
      const start = JSON.parse(readFileSync(join(out, MODEL, revision, 'generation_config.json'), 'utf8')).decoder_start_token_id;
      // Firefox decodes the start token, too, which is no special token of this checkpoint.
      assert.deepEqual(texts, captions.map(({ ids }) => tokenizer.decode([start, ...ids], { skip_special_tokens: true }).trim()), revision);
    }
  } finally {
    await firefox.close();
    hub.stop();
  }
});

describe('a deployed site in Firefox, from a server without headers', () => {
  let firefox;
  let server;
  let site;
  before(async () => {
    const page = scratch('page');
    execFileSync('node', ['tools/bundle.mjs', '--demo', page], { cwd: join(ROOT, 'web') });
    const out = scratch('site');
    const { status, stderr } = await run(['deploy', await press('demo-site', join(ROOT, 'models/demo')), out, '--page', page]);
    assert.equal(status, 0, stderr);
    server = spawn('python3', ['-u', '-m', 'http.server', '0', '--bind', '127.0.0.1', '--directory', out], { stdio: ['ignore', 'pipe', 'ignore'] });
    const line = await new Promise((resolve) => server.stdout.once('data', (bytes) => resolve(String(bytes))));
    site = `http://localhost:${/port (\d+)/.exec(line)[1]}/`;
    firefox = await Firefox.start(program);
  });
  after(async () => {
    await firefox?.close();
    server?.kill();
  });

  it('is isolated after its service worker has reloaded it', async () => {
    await firefox.open(site);
    for (let tries = 0; tries < 200; ++tries) {
      const isolated = await firefox.run(async () => window.crossOriginIsolated && document.readyState === 'complete').catch(() => false);
      if (isolated) {
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.fail('crossOriginIsolated stays false');
  });

  it('captions the images that are given to the page', async () => {
    const found = await firefox.command('WebDriver:FindElement', { using: 'css selector', value: '#files' });
    const [id] = Object.values(found.value);
    await firefox.command('WebDriver:ElementSendKeys', { id, text: SCENES.map((file) => join(IMAGES, file)).join('\n') });
    const shown = await firefox.run(
      async (count) => {
        while (document.querySelectorAll('.card button:enabled').length < count) {
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        return [...document.querySelectorAll('.card .text')].map((element) => element.textContent);
      },
      [SCENES.length],
    );
    assert.deepEqual(shown.reverse(), expected);
  });

  it('captions by the runtime on its own engine, with threads', async () => {
    const found = await firefox.run(
      async (base64) => {
        const { Captioner } = await import(`${location.origin}/lorapress.js`);
        const image = new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))]); // the page's policy lets no data: in
        const notes = [];
        const onProgress = ({ note }) => note && notes.push(note);
        const captioner = await Captioner.load('model/', { device: 'wasm', threads: 2, onProgress });
        const { text } = await captioner.caption(image);
        const { device, engine, threads } = captioner.info;
        await captioner.dispose();
        return { text, device, engine, threads, notes };
      },
      [pictures[0].split(',')[1]],
    );
    assert.deepEqual(found, { text: expected[0], device: 'wasm', engine: 'native', threads: 2, notes: [] });
  });
});
