// Reads lorapress.json as strictly as its contract says: the schema, and the rules that a schema
// cannot say (its description lists them).

import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';

import Ajv from 'ajv/dist/2020.js';

import { ROOT } from './program.mjs';

const validator = (/** @type {string} */ file) =>
  new Ajv.default({ strict: true, strictTypes: false, allErrors: true }).compile(
    JSON.parse(readFileSync(join(ROOT, 'docs/schema', file), 'utf8')),
  );
const validateToday = validator('lorapress.schema.json');
const validateOne = validator('lorapress-1.schema.json');

/**
 * What is wrong with the text of a manifest; empty for a sound one.
 * @param {string} text
 * @returns {string[]}
 */
export function manifestProblems(text) {
  let manifest;
  try {
    manifest = JSON.parse(text);
  } catch (error) {
    return [error.message];
  }
  const validate = manifest?.format_version === 1 ? validateOne : validateToday;
  if (!validate(manifest)) {
    return validate.errors.map(({ instancePath, message }) => `${instancePath}: ${message}`);
  }
  return [...fileProblems(manifest), ...graphProblems(manifest), ...cropProblems(manifest), ...tokenProblems(manifest)];
}

function fileProblems({ files, graphs, default_dtype, tokenizer, prompt = undefined, chunk_bytes }) {
  const problems = [];
  const paths = new Set(files.map(({ path }) => path));
  if (paths.size < files.length) {
    problems.push('files: a path stands twice');
  }
  if (paths.has('lorapress.json')) {
    problems.push('files: lorapress.json is listed');
  }
  for (const { path, bytes, sha256 } of files) {
    const chunks = Math.ceil(bytes / chunk_bytes);
    if (sha256.length !== chunks) {
      problems.push(`files: ${path}: ${sha256.length} digests, expected ${chunks}`);
    }
  }
  const template = prompt?.chat_template === undefined ? [] : [prompt.chat_template];
  for (const path of [tokenizer.file, ...template, ...Object.values(graphs).flatMap(Object.values)]) {
    if (!paths.has(path)) {
      problems.push(`files: ${path} is used and not listed`);
    }
  }
  if (!Object.hasOwn(graphs, default_dtype)) {
    problems.push(`graphs: no ${default_dtype}, the default_dtype`);
  }
  return problems;
}

/** What a manifest says of its graphs since version 2. */
function graphProblems({ files, graphs, graph_files = undefined, preferred_dtypes = {} }) {
  if (graph_files === undefined) {
    return [];
  }
  const listed = new Set(files.map(({ path }) => path));
  const used = Object.entries(graph_files).flatMap(([path, { external_data }]) => [path, ...external_data]);
  const missing = Object.values(graphs).flatMap(Object.values).filter((path) => !Object.hasOwn(graph_files, path));
  const unknown = Object.values(preferred_dtypes).flat().filter((dtype) => !Object.hasOwn(graphs, dtype));
  return [
    ...used.filter((path) => !listed.has(path)).map((path) => `graph_files: ${path} is used and not listed`),
    ...missing.map((path) => `graph_files: no ${path}`),
    ...unknown.map((dtype) => `preferred_dtypes: no dtype ${dtype}`),
  ];
}

/** The middle cannot be larger than the image that it is cut out of; a decoder alone has no images. */
function cropProblems({ preprocessing }) {
  if (preprocessing === undefined) {
    return [];
  }
  const { size, shortest_edge = Infinity } = preprocessing;
  const sides = [size.width, size.height].filter((side) => side > shortest_edge);
  return sides.map((side) => `preprocessing: ${side} of a shortest_edge of ${shortest_edge}`);
}

function tokenProblems({ generation, model }) {
  const tokens = Object.entries(generation).filter(([key]) => /_ids?$|_tokens$/.test(key) && !/_new_tokens$/.test(key));
  const outside = tokens.flatMap(([, ids]) => [ids].flat(2)).filter((id) => id >= model.vocab_size);
  return outside.map((id) => `generation: token ${id}, the vocabulary has ${model.vocab_size}`);
}

/** Every file below a folder, relative and with forward slashes, in order. @param {string} folder */
export function filesBelow(folder) {
  const walk = (at) =>
    readdirSync(at, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? walk(join(at, entry.name)) : [relative(folder, join(at, entry.name))],
    );
  return walk(folder).sort();
}

/**
 * The manifest's entry of a file, made anew from its bytes.
 * @param {string} folder
 * @param {string} path
 * @param {number} chunkBytes
 */
export async function describeFile(folder, path, chunkBytes) {
  const sha256 = [];
  for (let start = 0; start < statSync(join(folder, path)).size; start += chunkBytes) {
    const hash = createHash('sha256');
    for await (const piece of createReadStream(join(folder, path), { start, end: start + chunkBytes - 1 })) {
      hash.update(piece);
    }
    sha256.push(hash.digest('hex'));
  }
  return { path, bytes: statSync(join(folder, path)).size, sha256 };
}
