// The versions of transformers.js that a pressed folder promises to run in, behind one small face.
// They are loaded as npm installed them; only settings that keep them offline are changed.

import { basename, dirname } from 'node:path';

/**
 * @typedef {object} Stack
 * @property {string} name of the npm alias
 * @property {string} version that package.json pins
 * @property {string[]} press options of press for this version
 * @property {string[][]} variants further options of press to try
 * @property {string[]} settings of generation_config.json that it follows as generate() does, lengths and ids apart
 * @property {object} load options of pipeline() and from_pretrained()
 * @property {(model: any, pixels: any, options: object) => Promise<number[][]>} generate
 */

const VARIANTS = [['--external-data'], ['--ops', 'standard'], ['--ops', 'standard', '--external-data']];

const SETTINGS = [
  'repetition_penalty',
  'no_repeat_ngram_size',
  'bad_words_ids',
  'begin_suppress_tokens',
  'forced_eos_token_id',
];

/** @type {Record<string, Stack>} */
export const STACKS = {
  v4: { name: 'transformers-v4', version: '4.3.1', press: [], variants: VARIANTS, settings: [...SETTINGS, 'suppress_tokens'], load: {}, generate: generateTensor },
  v3: { name: 'transformers-v3', version: '3.8.1', press: [], variants: VARIANTS, settings: SETTINGS, load: {}, generate: generateTensor },
  // Its ONNX Runtime 1.14 knows no GroupQueryAttention, and it loads no external data.
  v2: {
    name: 'transformers-v2',
    version: '2.17.2',
    press: ['--ops', 'standard'],
    variants: [],
    settings: [],
    load: { quantized: false },
    generate: generateLists,
  },
};

async function generateTensor(model, pixels, options) {
  const ids = await model.generate({ inputs: pixels, ...options });
  return ids.tolist().map((row) => row.map(Number));
}

async function generateLists(model, pixels, options) {
  const ids = await model.generate(pixels, options);
  return ids.map((row) => row.map(Number)); // those of a prompt are BigInts
}

/** Imports the library and takes the network away from it. @param {Stack} stack */
export async function load(stack) {
  const library = await import(stack.name);
  Object.assign(library.env, { allowLocalModels: true, allowRemoteModels: false });
  return library;
}

/** As a page would: pipeline('image-to-text', NAME) below a folder of models. */
export function captioner(library, /** @type {Stack} */ stack, /** @type {string} */ folder) {
  library.env.localModelPath = dirname(folder);
  return library.pipeline('image-to-text', basename(folder), stack.load);
}

/** Without pipeline(): processor, tokenizer and model, each from its Auto class. */
export async function parts(library, /** @type {Stack} */ stack, /** @type {string} */ folder) {
  library.env.localModelPath = dirname(folder);
  const name = basename(folder);
  const [processor, tokenizer, model] = await Promise.all([
    library.AutoProcessor.from_pretrained(name),
    library.AutoTokenizer.from_pretrained(name),
    library.AutoModelForVision2Seq.from_pretrained(name, stack.load),
  ]);
  return { processor, tokenizer, model };
}
