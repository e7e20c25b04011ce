// Bundle "text-generation" through pipeline('text-generation') of transformers.js as npm ships it, token
// for token like PyTorch, from a PEFT folder and from a merged one with a chat template.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { press, ROOT } from './program.mjs';
import { load, STACKS } from './stacks.mjs';

const GOLDENS = join(ROOT, 'tests/goldens/text');

/** @param {'v3' | 'v4'} version */
export async function testText(version) {
  const stack = STACKS[version];
  const library = await load(stack);
  describe(`text-generation in ${stack.name} ${stack.version}`, () => {
    for (const name of ['llama', 'qwen2', 'gpt2', 'opt']) {
      // The checkpoints' own rules, applied by the client or by the decoder.
      for (const options of [[], ['--ops', 'standard'], ['--external-data'], ['--rules-in-graph']]) {
        testCase(library, name, options);
      }
    }
  });
}

function testCase(library, name, options) {
  const folder = join(GOLDENS, name);
  const golden = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8'));
  const templated = existsSync(join(folder, 'merged/chat_template.jinja'));
  describe([name, ...options].join(' '), () => {
    let pipe;
    before(async () => {
      const adapted = existsSync(join(folder, 'adapter'));
      const all = adapted ? ['--base', join(folder, 'base'), ...options] : options;
      const checkpoint = join(folder, adapted ? 'adapter' : 'merged');
      const out = await press(['text', name, ...options].join('_').replaceAll('-', ''), checkpoint, all);
      library.env.localModelPath = dirname(out);
      pipe = await library.pipeline('text-generation', basename(out), { dtype: 'fp32' });
    });
    after(() => pipe?.dispose());

    for (const row of golden.prompts) {
      const chat = templated && !row.raw_prompt;
      const asked = chat ? messages(row) : row.prompt;

      it(`continues ${JSON.stringify(row.prompt)}`, async () => {
        const text = chat ? rendered(pipe.tokenizer, asked) : asked;
        // As the pipeline itself asks for special tokens.
        const add_special_tokens = !chat && (pipe.tokenizer.add_bos_token ?? false);
        const inputs = pipe.tokenizer(text, { add_special_tokens });
        assert.deepEqual(inputs.input_ids.tolist()[0].map(Number), row.input_ids);
        const rows = (await pipe.model.generate(inputs)).tolist(); // by generation_config.json alone
        assert.deepEqual(rows[0].slice(row.input_ids.length).map(Number), row.ids);
      });

      it(`is run by the pipeline, ${JSON.stringify(row.prompt)}`, async () => {
        // Version 4 passes 256 new tokens where a call names none.
        const max_new_tokens = Math.max(golden.max_new_tokens, row.ids.length);
        const [{ generated_text }] = await pipe(asked, { max_new_tokens, return_full_text: false });
        const said = chat ? generated_text.at(-1).content : generated_text;
        assert.equal(said, decodedBehind(pipe.tokenizer, row));
      });
    }

    // GPT-2 and OPT take one length alone: their graphs refuse padding by the name of a node.
    const padded = ['llama', 'qwen2'].includes(name);
    if (!padded) {
      it('refuses padding by name', async () => {
        const given = batch(library, pipe.model, golden.prompts, 'left');
        await assert.rejects(given, /prompts_of_one_batch_must_have_one_length/);
      });
    }
    for (const side of padded ? ['left', 'right'] : []) {
      it(`continues a batch that is padded on the ${side}`, async () => {
        const rows = await batch(library, pipe.model, golden.prompts, side);
        // transformers.js does not pad behind the end: a row that has ended goes on until all have.
        rows.forEach((ids, i) => assert.deepEqual(ids.slice(0, golden.prompts[i].ids.length), golden.prompts[i].ids));
      });
    }
  });
}

/** The new ids of several prompts in one call. Rules see the padding in transformers.js, so its id is one that no prompt has. */
async function batch(library, model, prompts, side) {
  const pad = 275; // a token of the model that the tokenizer does not know
  const length = Math.max(...prompts.map(({ input_ids }) => input_ids.length));
  const rows = prompts.map(({ input_ids }) => {
    const padding = new Array(length - input_ids.length).fill(0);
    const mask = input_ids.map(() => 1);
    const ids = side === 'left' ? [...padding.map(() => pad), ...input_ids] : [...input_ids, ...padding.map(() => pad)];
    return [ids, side === 'left' ? [...padding, ...mask] : [...mask, ...padding]];
  });
  const tensor = (part) => new library.Tensor('int64', rows.flatMap((row) => row[part].map(BigInt)), [rows.length, length]);
  const output = await model.generate({ input_ids: tensor(0), attention_mask: tensor(1) });
  return output.tolist().map((ids) => ids.slice(length).map(Number));
}

const messages = ({ prompt, system }) => [
  ...(system === undefined ? [] : [{ role: 'system', content: system }]),
  { role: 'user', content: prompt },
];

const rendered = (tokenizer, asked) =>
  tokenizer.apply_chat_template(asked, { tokenize: false, add_generation_prompt: true });

/** The pipeline cuts the prompt's text off the whole text. */
function decodedBehind(tokenizer, row) {
  const decode = (ids) => tokenizer.decode(ids, { skip_special_tokens: true });
  return decode([...row.input_ids, ...row.ids]).slice(decode(row.input_ids).length);
}
