// Bundle "firefox" on `lorapress serve`, by the rules of Firefox's loader.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { MODEL, pressHub } from './lib/firefox_hub.mjs';
import { Loader, serve } from './lib/hub.mjs';
import { ROOT, run, scratch } from './lib/program.mjs';

const DEMO = join(ROOT, 'models/demo');

describe('bundle firefox on serve', () => {
  let hub;
  let server;
  let loader;
  let files;
  before(async () => {
    hub = await pressHub();
    server = await serve(hub);
    loader = new Loader(`http://localhost:${server.port}/`);
    files = readdirSync(join(hub, MODEL, 'main'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(join(hub, MODEL, 'main').length + 1));
  });
  after(() => server?.stop());

  it('has what Firefox asks for, and no external data', () => {
    for (const file of ['config.json', 'generation_config.json', 'preprocessor_config.json', 'tokenizer.json', 'tokenizer_config.json', 'README.md']) {
      assert.ok(files.includes(file), file);
    }
    assert.deepEqual(files.filter((file) => file.startsWith('onnx/')).sort(), ['onnx/decoder_model_merged_quantized.onnx', 'onnx/encoder_model_quantized.onnx']);
  });

  it('gives every file, by both templates and by HEAD, with type and ETag', async () => {
    const resolve = new Loader(loader.root, '{model}/resolve/{revision}');
    for (const file of files) {
      const body = Buffer.from(await loader.get(MODEL, 'main', file));
      assert.ok(body.equals(readFileSync(join(hub, MODEL, 'main', file))), file);
      assert.ok(body.equals(Buffer.from(await resolve.get(MODEL, 'main', file))), file);
      const url = loader.url(MODEL, 'main', file);
      const head = await fetch(url, { method: 'HEAD' });
      const got = await fetch(url);
      await got.arrayBuffer();
      for (const name of ['content-type', 'content-length', 'etag']) {
        assert.ok(head.headers.get(name), `${file}: ${name}`);
        assert.equal(head.headers.get(name), got.headers.get(name), `${file}: ${name}`);
      }
      const again = await fetch(url, { headers: { 'if-none-match': head.headers.get('etag') } });
      assert.equal(again.status, 304, file);
    }
  });

  it('asks again for main by HEAD alone, and for a pinned revision not at all', async () => {
    for (const [revision, methods] of [['main', ['GET', 'HEAD']], ['v1.0.0', ['GET']]]) {
      const fresh = new Loader(loader.root);
      await fresh.get(MODEL, revision, 'config.json');
      await fresh.get(MODEL, revision, 'config.json');
      assert.deepEqual(fresh.requests.map(({ method }) => method), methods);
    }
  });

  it('has nothing at other addresses', async () => {
    for (const path of [`${MODEL}/v9/config.json`, `${MODEL}/resolve/config.json`, `${MODEL}/resolve/main/../../../x`, `${MODEL}/main/resolve/config.json`, `resolve/main/config.json`]) {
      const reply = await fetch(`${loader.root}${path}`);
      await reply.arrayBuffer();
      assert.equal(reply.status, 404, path);
    }
  });

  it('has a complete generation_config.json and a card with front matter', () => {
    const generation = JSON.parse(readFileSync(join(hub, MODEL, 'main/generation_config.json'), 'utf8'));
    for (const key of ['max_new_tokens', 'eos_token_id', 'pad_token_id', 'bos_token_id', 'decoder_start_token_id']) {
      assert.ok(key in generation, key);
    }
    const card = readFileSync(join(hub, MODEL, 'v1.0.0/README.md'), 'utf8');
    assert.match(card, /^---\nlibrary_name: transformers\.js\npipeline_tag: image-to-text\n[^]*\n---\n/);
    assert.ok(card.includes(`"${MODEL}", { revision: "v1.0.0", dtype: "q8" }`), card);
    assert.match(card, /\| q8 \(default\) \|.* MB \|/);
  });

  const refusals = [
    [[], 'ORG/NAME'],
    [['--model-id', 'demo'], 'model id "demo"'],
    [['--model-id', 'a--b/c'], 'model id "a--b/c"'],
    [['--model-id', 'a/b', '--revision', 'latest'], 'revision "latest"'],
    [['--model-id', 'a/b', '--external-data'], '--external-data'],
  ];
  for (const [options, words] of refusals) {
    it(`refuses ${options.join(' ') || 'no model id'}`, async () => {
      const { status, stderr } = await run(['press', DEMO, scratch('refused'), '--bundle', 'firefox', ...options]);
      assert.equal(status, 2);
      assert.ok(stderr.includes(words), stderr);
    });
  }

  it('always has q8, and says so', async () => {
    const out = scratch('hub-fp32');
    const { status, stdout } = await run(['press', DEMO, out, '--bundle', 'firefox', '--model-id', 'a/b', '--dtype', 'fp32']);
    assert.equal(status, 0);
    assert.match(stdout, /note: q8 is written, too/);
    const names = readdirSync(join(out, 'a/b/main/onnx')).sort();
    assert.deepEqual(names, ['decoder_model_merged.onnx', 'decoder_model_merged_quantized.onnx', 'encoder_model.onnx', 'encoder_model_quantized.onnx']);
  });
});
