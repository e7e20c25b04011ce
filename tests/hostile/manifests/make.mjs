// Makes the manifests of this folder: `node make.mjs`. Each *.json here is one sound manifest with one
// thing wrong, and every reader must refuse it; those in accepted/ are sound and must be read.
// index.tsv: file, error code of the program, what is wrong.

import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CHUNK = 8388608;
const ENCODER = 'onnx/encoder_model.onnx';
const DECODER = 'onnx/decoder_model_merged.onnx';
const digest = (/** @type {number} */ byte) => byte.toString(16).padStart(2, '0').repeat(32);
const file = (/** @type {string} */ path, bytes = 100) => ({
  path,
  bytes,
  sha256: Array.from({ length: Math.ceil(bytes / CHUNK) }, (_, i) => digest(i)),
});

function sound() {
  return {
    format_version: 2,
    generator: 'lorapress 0.1.0',
    bundle: 'transformers.js',
    source: { checkpoint: 'tiny', adapters: [{ name: 'default', r: 4, lora_alpha: 8.5, weight: 1.5, modules: 8 }] },
    model: {
      model_type: 'prefix_conditioning_vlm',
      vision_model_type: 'siglip_vision_model',
      text_model_type: 'llama',
      image_tokens: 16,
      hidden_size: 64,
      vocab_size: 320,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      head_dim: 16,
      max_position_embeddings: 512,
    },
    ops: 'ort',
    opset: 17,
    generation: { decoder_start_token_id: 0, bos_token_id: 1, eos_token_id: [0], pad_token_id: 0, max_new_tokens: 30 },
    preprocessing: {
      size: { height: 32, width: 32 },
      resample: 'bicubic',
      rescale_factor: 0.5,
      image_mean: [0.5, 0.5, 0.5],
      image_std: [0.5, 0.5, 0.5],
    },
    tokenizer: { file: 'tokenizer.json' },
    default_dtype: 'fp32',
    graphs: { fp32: { encoder: ENCODER, decoder: DECODER } },
    graph_files: {
      [ENCODER]: { external_data: [], integer_products: false },
      [DECODER]: { external_data: [], cache_dtype: 'float32', in_place_cache: true, integer_products: false },
    },
    preferred_dtypes: { wasm: ['fp32'], webgpu: ['fp32'], webgpu_f16: ['fp32'] },
    chunk_bytes: CHUNK,
    files: [
      file('config.json'),
      file('tokenizer.json'),
      file(ENCODER, CHUNK),
      file(DECODER, CHUNK + 1),
    ],
  };
}

/** Of a decoder alone, which takes no image. */
function textAlone() {
  const { preprocessing: _, ...manifest } = sound();
  const { vision_model_type: __, image_tokens: ___, ...model } = manifest.model;
  const graph = { external_data: [], cache_dtype: 'float32', in_place_cache: true, integer_products: false };
  return {
    ...manifest,
    bundle: 'text-generation',
    model: { ...model, model_type: 'llama', conditioning: 'none' },
    graphs: { fp32: { decoder: 'onnx/model.onnx' } },
    graph_files: { 'onnx/model.onnx': graph },
    files: [file('tokenizer.json'), file('onnx/model.onnx', CHUNK)],
  };
}

/** @typedef {ReturnType<typeof sound> & Record<string, any>} Manifest */

/** @type {(path: string) => (manifest: Manifest) => void} */
const firstPath = (path) => (m) => {
  m.files[0].path = path;
};

/** @type {[file: string, code: string, wrong: string, spoil: (manifest: Manifest) => void][]} */
const SPOILED = [
  ['conditioning_unknown', 'unsupported', 'an image reaches the decoder in a way that is not known', (m) => { Object.assign(m.model, { conditioning: 'telepathy' }); }],
  ['image_tokens_missing', 'invalid_file', 'a model that takes images has no image tokens', (m) => { delete (/** @type {any} */ (m.model).image_tokens); }],
  ['path_parent', 'invalid_file', 'a path leaves the folder', firstPath('../config.json')],
  ['path_parent_inside', 'invalid_file', 'a path leaves the folder and comes back', firstPath('onnx/../../tiny/config.json')],
  ['path_dot', 'invalid_file', 'a path has two spellings', firstPath('./config.json')],
  ['path_absolute', 'invalid_file', 'a path begins at the root', firstPath('/etc/passwd')],
  ['path_backslash', 'invalid_file', 'a path that leaves the folder on Windows', firstPath('onnx\\..\\..\\config.json')],
  ['path_drive', 'invalid_file', 'a path that is absolute on Windows', firstPath('C:/config.json')],
  ['path_url', 'invalid_file', 'a path that is a URL of another host', firstPath('https://host.invalid/config.json')],
  ['path_percent', 'invalid_file', 'a path whose URL leaves the folder', firstPath('%2e%2e/config.json')],
  ['path_query', 'invalid_file', 'a path whose URL ends early', firstPath('config.json?x')],
  ['path_empty', 'invalid_file', 'a path without text', firstPath('')],
  ['path_empty_part', 'invalid_file', 'a path with an empty part', firstPath('onnx//config.json')],
  ['path_nul', 'invalid_file', 'a path with a NUL', firstPath('config.json\0.txt')],
  ['path_line_break', 'invalid_file', 'a path with a line break', firstPath('config.json\n')],
  ['path_long', 'invalid_file', 'a path longer than file systems take', firstPath('x'.repeat(5000))],
  ['path_twice', 'invalid_file', 'two files of one name', firstPath('tokenizer.json')],
  ['path_of_manifest', 'invalid_file', 'the manifest lists itself', firstPath('lorapress.json')],
  ['path_missing', 'invalid_file', 'a file without a name', (m) => delete m.files[0].path],
  ['path_number', 'invalid_file', 'a path that is a number', (m) => (m.files[0].path = 7)],
  ['graph_path_parent', 'invalid_file', 'a graph outside of the folder', (m) => (m.graphs.fp32.encoder = '../encoder.onnx')],
  ['graph_not_listed', 'invalid_file', 'a graph that is none of the files', (m) => (m.graphs.fp32.encoder = 'onnx/other.onnx')],
  ['graph_text', 'invalid_file', 'a dtype without roles', (m) => (m.graphs.fp32 = 'onnx/encoder_model.onnx')],
  ['graph_number', 'invalid_file', 'a graph that is a number', (m) => (m.graphs.fp32.decoder = 1)],
  ['graphs_none', 'invalid_file', 'no graphs', (m) => (m.graphs = {})],
  ['default_dtype_absent', 'invalid_file', 'the default dtype has no graphs', (m) => (m.default_dtype = 'fp16')],
  ['tokenizer_path_parent', 'invalid_file', 'a tokenizer outside of the folder', (m) => (m.tokenizer.file = '../tokenizer.json')],
  ['prompt_template_not_listed', 'invalid_file', 'a chat template that is none of the files', (m) => (m.prompt = { chat_template: 'chat_template.jinja' })],
  ['prompt_template_outside', 'invalid_file', 'a chat template outside of the folder', (m) => (m.prompt = { chat_template: '../chat_template.jinja' })],
  ['prompt_number', 'invalid_file', 'a prompt that is no text', (m) => (m.prompt = { default: 3 })],
  ['prompt_list', 'invalid_file', 'a prompt that is no object', (m) => (m.prompt = ['a'])],
  ['digests_missing', 'invalid_file', 'no digests', (m) => delete m.files[0].sha256],
  ['digests_too_few', 'invalid_file', 'two chunks and one digest', (m) => m.files[3].sha256.pop()],
  ['digests_too_many', 'invalid_file', 'one chunk and two digests', (m) => m.files[2].sha256.push(digest(9))],
  ['digests_of_nothing', 'invalid_file', 'no bytes and a digest', (m) => (m.files[0].bytes = 0)],
  ['digest_short', 'invalid_file', 'a digest of 63 digits', (m) => (m.files[0].sha256 = [digest(1).slice(1)])],
  ['digest_upper_case', 'invalid_file', 'a digest in capitals', (m) => (m.files[0].sha256 = [digest(0xab).toUpperCase()])],
  ['digest_not_hex', 'invalid_file', 'a digest of other letters', (m) => (m.files[0].sha256 = ['g'.repeat(64)])],
  ['digest_null', 'invalid_file', 'a digest that is null', (m) => (m.files[0].sha256 = [null])],
  ['bytes_negative', 'invalid_file', 'fewer than no bytes', (m) => (m.files[0].bytes = -1)],
  ['bytes_fraction', 'invalid_file', 'half a byte', (m) => (m.files[0].bytes = 100.5)],
  ['bytes_text', 'invalid_file', 'bytes in quotes', (m) => (m.files[0].bytes = '100')],
  ['bytes_huge', 'invalid_file', 'more than a terabyte', (m) => (m.files[0].bytes = 2 ** 40 + 1)],
  ['bytes_beyond_integers', 'invalid_file', 'no machine integer', (m) => (m.files[0].bytes = 1e300)],
  ['files_none', 'invalid_file', 'no files', (m) => delete m.files],
  ['files_too_many', 'invalid_file', '10,000 files', (m) => m.files.push(...Array.from({ length: 9996 }, (_, i) => file(`${i}`, 0)))],
  ['graph_files_missing', 'invalid_file', 'nothing said of graphs', (m) => delete m.graph_files],
  ['graph_files_list', 'invalid_file', 'graphs in a list', (m) => (m.graph_files = Object.values(m.graph_files))],
  ['graph_files_gone', 'invalid_file', 'nothing said of one graph', (m) => delete m.graph_files[ENCODER]],
  ['graph_files_null', 'invalid_file', 'null said of a graph', (m) => (m.graph_files[ENCODER] = null)],
  ...[
    ['unknown_key', 'an unknown word about a graph', { weights: [] }],
    ['data_text', 'weight files that are a text', { external_data: 'config.json' }],
    ['data_number', 'a weight file that is a number', { external_data: [1] }],
    ['data_not_listed', 'a weight file that is none of the files', { external_data: ['onnx/other.onnx_data'] }],
    ['data_parent', 'a weight file outside of the folder', { external_data: ['../weights.onnx_data'] }],
    ['data_twice', 'a weight file named twice', { external_data: ['config.json', 'config.json'] }],
    ['data_missing', 'no list of weight files', { external_data: undefined }],
    ['products_missing', 'products that may be anything', { integer_products: undefined }],
    ['products_number', 'products that are a number', { integer_products: 1 }],
    ['cache_unknown', 'a cache of 8 bits', { cache_dtype: 'float8' }],
    ['cache_number', 'a cache that is a number', { cache_dtype: 16 }],
    ['cache_without_place', 'a cache somewhere', { in_place_cache: undefined }],
    ['place_without_cache', 'a place without a cache', { cache_dtype: undefined }],
    ['place_text', 'a place in quotes', { in_place_cache: 'true' }],
  ].map(
    /** @returns {[string, string, string, (manifest: Manifest) => void]} */
    ([name, wrong, facts]) => [`graph_files_${name}`, 'invalid_file', `${wrong}`, (m) => Object.assign(m.graph_files[DECODER], facts)],
  ),
  ['preferred_missing', 'invalid_file', 'no order of dtypes', (m) => delete m.preferred_dtypes],
  ['preferred_backend_missing', 'invalid_file', 'no order for a backend', (m) => delete m.preferred_dtypes.webgpu],
  ['preferred_backend_unknown', 'invalid_file', 'an order for an unknown backend', (m) => (m.preferred_dtypes.webnn = [])],
  ['preferred_text', 'invalid_file', 'an order that is a text', (m) => (m.preferred_dtypes.wasm = 'fp32')],
  ['preferred_absent', 'invalid_file', 'a dtype that the folder lacks', (m) => (m.preferred_dtypes.wasm = ['q8'])],
  ['preferred_twice', 'invalid_file', 'a dtype twice', (m) => (m.preferred_dtypes.wasm = ['fp32', 'fp32'])],
  ['version_newer', 'unsupported', 'a format of the future', (m) => (m.format_version = 3)],
  ['version_zero', 'unsupported', 'a format that never was', (m) => (m.format_version = 0)],
  ['version_text', 'invalid_file', 'a version in quotes', (m) => (m.format_version = '2')],
  ['version_missing', 'invalid_file', 'no version', (m) => delete m.format_version],
  ['chunk_other', 'unsupported', 'other chunks', (m) => (m.chunk_bytes = 4096)],
  ['chunk_zero', 'invalid_file', 'chunks of nothing', (m) => (m.chunk_bytes = 0)],
  ['model_missing', 'invalid_file', 'no model', (m) => delete m.model],
  ['model_no_heads', 'invalid_file', 'no attention heads', (m) => (m.model.num_key_value_heads = 0)],
  ['model_huge_vocabulary', 'invalid_file', 'a huge vocabulary', (m) => (m.model.vocab_size = 2 ** 40)],
  ['model_huge_layers', 'invalid_file', 'a million layers', (m) => (m.model.num_hidden_layers = 1e6)],
  ['generation_missing', 'invalid_file', 'no generation settings', (m) => delete m.generation],
  ['eos_none', 'invalid_file', 'no end token', (m) => (m.generation.eos_token_id = [])],
  ['eos_outside', 'invalid_file', 'an end token outside of the vocabulary', (m) => (m.generation.eos_token_id = [320])],
  ['start_outside', 'invalid_file', 'a start token outside of the vocabulary', (m) => (m.generation.decoder_start_token_id = 320)],
  ['tokens_endless', 'invalid_file', 'more new tokens than there is time', (m) => (m.generation.max_new_tokens = 2 ** 53)],
  ...[
    ['no_number', 'a penalty in quotes', { repetition_penalty: '1.2' }],
    ['no_penalty', 'a penalty of nothing', { repetition_penalty: 0 }],
    ['beams_none', 'no beams', { num_beams: 0 }],
    ['beams_many', 'a thousand beams', { num_beams: 1000 }],
    ['beams_half', 'half a beam', { num_beams: 1.5 }],
    ['ngram_negative', 'n-grams of fewer than no tokens', { no_repeat_ngram_size: -1 }],
    ['length_infinite', 'a length penalty beyond numbers', { length_penalty: 1e300 }],
    ['early_sometimes', 'an unknown way to stop', { early_stopping: 'sometimes' }],
    ['early_number', 'a way to stop that is a number', { early_stopping: 1 }],
    ['sample_text', 'sampling in quotes', { do_sample: 'true' }],
    ['temperature_zero', 'a division by zero', { temperature: 0 }],
    ['top_p_above', 'more than all probabilities', { top_p: 1.5 }],
    ['top_k_negative', 'fewer than no tokens', { top_k: -1 }],
    ['suppress_outside', 'a forbidden token outside of the vocabulary', { suppress_tokens: [320] }],
    ['suppress_number', 'forbidden tokens that are a number', { suppress_tokens: 3 }],
    ['suppress_object', 'forbidden tokens that are an object', { begin_suppress_tokens: { 0: 1 } }],
    ['forced_outside', 'a forced token outside of the vocabulary', { forced_bos_token_id: 320 }],
    ['forced_negative', 'a forced token below the vocabulary', { forced_eos_token_id: [-1] }],
    ['words_flat', 'bad words without words', { bad_words_ids: [1, 2] }],
    ['words_empty', 'a bad word without tokens', { bad_words_ids: [[]] }],
    ['words_outside', 'a bad word outside of the vocabulary', { bad_words_ids: [[1, 320]] }],
    ['least_negative', 'fewer than no new tokens', { min_new_tokens: -1 }],
    ['least_huge', 'more new tokens at least than there is time', { min_length: 2 ** 40 }],
    ['most_none', 'a length of nothing', { max_length: 0 }],
  ].map(
    /** @returns {[string, string, string, (manifest: Manifest) => void]} */
    ([name, wrong, settings]) => [`generation_${name}`, 'invalid_file', `${wrong}`, (m) => Object.assign(m.generation, settings)],
  ),
  ['image_huge', 'invalid_file', 'pictures of 10^12 pixels', (m) => (m.preprocessing.size = { height: 1e6, width: 1e6 })],
  ['image_two_means', 'invalid_file', 'two channels', (m) => m.preprocessing.image_mean.pop()],
  ['image_no_spread', 'invalid_file', 'a division by zero', (m) => (m.preprocessing.image_std = [0.5, 0, 0.5])],
  ['image_edge_short', 'invalid_file', 'a crop of more than there is', (m) => (m.preprocessing.shortest_edge = 31)],
  ['image_edge_huge', 'invalid_file', 'a side of 10^6 pixels', (m) => (m.preprocessing.shortest_edge = 1e6)],
  ['image_edge_null', 'invalid_file', 'a side that is nothing', (m) => (m.preprocessing.shortest_edge = null)],
  ['image_resample', 'unsupported', 'an unknown way to resize', (m) => (m.preprocessing.resample = 'nearest-ish')],
];

const text = (/** @type {unknown} */ json) => `${JSON.stringify(json, null, 1)}\n`;

/** What is broken below the level of the manifest. @type {[string, string, string, string][]} */
const BROKEN = [
  ['json_truncated', 'invalid_file', 'half a manifest', text(sound()).slice(0, 900)],
  ['json_empty', 'invalid_file', 'an empty file', ''],
  ['json_list', 'invalid_file', 'a list', '[]\n'],
  ['json_deep', 'invalid_file', 'deeper than anyone nests', `{"files": ${'['.repeat(20000)}${']'.repeat(20000)}}\n`],
  ['json_key_twice', 'invalid_file', 'a key stands twice', text(sound()).replace('"files": [', '"files": [],\n "files": ["x",')],
];

/** @returns {Map<string, string>} path in this folder -> content */
export function allFiles() {
  const files = new Map();
  const rows = [];
  for (const [name, code, wrong, spoil] of SPOILED) {
    const manifest = sound();
    spoil(/** @type {Manifest} */ (manifest));
    // One line where there are thousands of entries.
    files.set(`${name}.json`, manifest.files?.length > 100 ? `${JSON.stringify(manifest)}\n` : text(manifest));
    rows.push([`${name}.json`, code, wrong]);
  }
  for (const [name, code, wrong, content] of BROKEN) {
    files.set(`${name}.json`, content);
    rows.push([`${name}.json`, code, wrong]);
  }
  files.set('index.tsv', rows.map((row) => `${row.join('\t')}\n`).join(''));
  files.set('accepted/one_dtype.json', text(sound()));
  files.set('accepted/prompt.json', text({ ...sound(), prompt: { default: 'a photo of', chat_template: 'tokenizer.json' } }));
  files.set('accepted/text.json', text(textAlone()));
  files.set('accepted/several.json', text(several()));
  files.set('accepted/generation.json', text(generation()));
  files.set('accepted/version_1.json', text(versionOne(several())));
  return files;
}

/** As it was before graph_files and preferred_dtypes. @param {Manifest} manifest */
function versionOne({ graph_files, preferred_dtypes, ...manifest }) {
  return { ...manifest, format_version: 1 };
}

/** Two dtypes, two end tokens, external data, an empty file, no adapters. */
function several() {
  const manifest = /** @type {Manifest} */ (sound());
  manifest.source.adapters = [];
  manifest.graphs.q8 = { encoder: 'onnx/encoder_model_quantized.onnx', decoder: 'onnx/decoder_model_merged_quantized.onnx' };
  manifest.generation.eos_token_id = [2, 319];
  for (const graph of Object.values(manifest.graphs.q8)) {
    manifest.graph_files[graph] = { external_data: [], integer_products: true };
  }
  manifest.graph_files[DECODER].external_data = [`${DECODER}_data`];
  manifest.preferred_dtypes = { wasm: ['q8', 'fp32'], webgpu: [], webgpu_f16: ['fp32'] };
  const names = ['encoder_model_quantized.onnx', 'decoder_model_merged_quantized.onnx', 'decoder_model_merged.onnx_data'];
  manifest.files.push(...names.map((name) => file(`onnx/${name}`, 3 * CHUNK - 1)), file('added_tokens.json', 0));
  return manifest;
}

/** Every generation setting. */
function generation() {
  const manifest = /** @type {Manifest} */ (sound());
  Object.assign(manifest.generation, {
    max_length: 50,
    min_new_tokens: 2,
    min_length: 20,
    repetition_penalty: 1.25,
    no_repeat_ngram_size: 3,
    bad_words_ids: [[5], [6, 7]],
    suppress_tokens: [8, 319],
    begin_suppress_tokens: [],
    forced_bos_token_id: 9,
    forced_eos_token_id: [0, 1],
    num_beams: 4,
    length_penalty: -0.5,
    early_stopping: 'never',
    do_sample: false,
    temperature: 0.5,
    top_k: 50,
    top_p: 0.9,
  });
  return manifest;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const here = dirname(process.argv[1]);
  mkdirSync(join(here, 'accepted'), { recursive: true });
  for (const folder of ['.', 'accepted']) {
    for (const old of readdirSync(join(here, folder)).filter((name) => name.endsWith('.json'))) {
      rmSync(join(here, folder, old));
    }
  }
  for (const [path, content] of allFiles()) {
    writeFileSync(join(here, path), content);
  }
}
