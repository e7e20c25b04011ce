// lorapress.json: pressed folders keep the contract, and nothing hostile passes for one.

import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { allFiles } from '../hostile/manifests/make.mjs';
import { allGoldens, pressCase, readGolden } from './lib/goldens.mjs';
import { describeFile, filesBelow, manifestProblems } from './lib/manifest.mjs';
import { press, ROOT, run, scratch, shared } from './lib/program.mjs';
import { readSafetensors, writeSafetensors } from './lib/safetensors.mjs';

const HOSTILE = join(ROOT, 'tests/hostile/manifests');

/** The base checkpoint with so many words that its embedding table takes several chunks. */
function wideCheckpoint() {
  return shared('wide-checkpoint', async (folder) => {
    const base = readGolden('base').checkpoint;
    mkdirSync(folder);
    for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
      cpSync(join(base, file), join(folder, file));
    }
    const vocabulary = 70_000;
    const config = JSON.parse(readFileSync(join(base, 'config.json'), 'utf8'));
    config.text_config.vocab_size = vocabulary;
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
    const tensors = readSafetensors(join(base, 'model.safetensors'));
    const [name, width] = ['language_model.base_model.model.model.embed_tokens.weight', 64];
    assert.equal(tensors[name].shape[1], width);
    const data = Float32Array.from({ length: vocabulary * width }, (_, i) => Math.sin(i) / 8);
    writeSafetensors(join(folder, 'model.safetensors'), { ...tensors, [name]: { shape: [vocabulary, width], data } });
  });
}

async function assertContract(folder) {
  const text = readFileSync(join(folder, 'lorapress.json'), 'utf8');
  assert.deepEqual(manifestProblems(text), []);
  const manifest = JSON.parse(text);
  const listed = manifest.files.map(({ path }) => path).sort();
  assert.deepEqual(listed, filesBelow(folder).filter((path) => path !== 'lorapress.json'));
  for (const entry of manifest.files) {
    assert.deepEqual(await describeFile(folder, entry.path, manifest.chunk_bytes), entry);
  }
  return manifest;
}

describe('lorapress.json of pressed folders', () => {
  for (const golden of allGoldens()) {
    for (const part of golden.cases) {
      it(`${golden.name} ${part.name}`, async () => {
        const manifest = await assertContract(await pressCase(golden, part));
        assert.equal(manifest.ops, 'ort');
        assert.equal(manifest.generation.max_new_tokens, golden.maxNewTokens);
        assert.deepEqual(manifest.generation.eos_token_id, golden.eos);
        if (part.adapters.length > 0) {
          assert.deepEqual(manifest.source.adapters.map(({ weight }) => weight), part.adapters.map(({ weight }) => weight));
        }
      });
    }
  }

  for (const options of [['--external-data'], ['--ops', 'standard']]) {
    it(`base ${options.join(' ')}`, async () => {
      const base = readGolden('base');
      await assertContract(await pressCase(base, base.cases[0], options));
    });
  }

  for (const options of [[], ['--external-data']]) {
    it(`files of several chunks ${options.join(' ')}`, async () => {
      const folder = await press(`wide${options.join('')}`, await wideCheckpoint(), options);
      const { files } = await assertContract(folder);
      const large = files.find(({ sha256 }) => sha256.length >= 3);
      assert.ok(large, 'no file of three chunks');
      assert.equal(large.path.endsWith('_data'), options.length > 0);
    });
  }
});

describe('manifests of format_version 1', () => {
  const written = () => readFileSync(join(ROOT, 'tests/goldens/manifest_1.json'), 'utf8');
  it('keep their schema', () => assert.deepEqual(manifestProblems(written()), []));
  it('are not those of today', () => {
    const text = written().replace('"format_version": 1', '"format_version": 2');
    assert.ok(manifestProblems(text).some((problem) => problem.includes('graph_files')));
  });
});

describe('manifests in tests/hostile', () => {
  it('are what make.mjs makes', () => {
    for (const [path, content] of allFiles()) {
      assert.equal(readFileSync(join(HOSTILE, path), 'utf8'), content, path);
    }
    const known = [...allFiles().keys(), 'make.mjs'].sort();
    assert.deepEqual(filesBelow(HOSTILE), known);
  });

  const hostile = readdirSync(HOSTILE).filter((name) => name.endsWith('.json'));
  it('are many', () => assert.ok(hostile.length >= 60, `${hostile.length}`));
  for (const name of hostile) {
    it(`${name} is refused`, () => {
      const problems = manifestProblems(readFileSync(join(HOSTILE, name), 'utf8'));
      assert.notDeepEqual(problems, []);
    });
  }
  for (const name of readdirSync(join(HOSTILE, 'accepted'))) {
    it(`accepted/${name} is read`, () => {
      assert.deepEqual(manifestProblems(readFileSync(join(HOSTILE, 'accepted', name), 'utf8')), []);
    });
  }
});

it('an architecture that press does not know is refused, and nothing is left behind', async () => {
  const checkpoint = await shared('unknown-checkpoint', async (folder) => {
    cpSync(readGolden('base').checkpoint, folder, { recursive: true });
    const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
    config.text_config.model_type = 'bloom';
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  });
  const out = scratch('refused-unknown');
  const { status, stdout } = await run(['press', checkpoint, out, '--json']);
  assert.equal(status, 2);
  assert.equal(JSON.parse(stdout).error.code, 'unsupported');
  assert.ok(!existsSync(out));
});
