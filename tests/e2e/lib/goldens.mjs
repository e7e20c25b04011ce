// tests/goldens/checkpoints: tiny checkpoints and what PyTorch, transformers and PEFT make of them.
// tests/oracle/golden.py says how they are made.

import { createHash } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { press, ROOT, shared } from './program.mjs';
import { readSafetensors } from './safetensors.mjs';

const CHECKPOINTS = join(ROOT, 'tests/goldens/checkpoints');
const CROSS = join(ROOT, 'tests/goldens/cross');

/**
 * @typedef {{image: number, ids: number[], text: string}} Caption
 * @typedef {{image: number, prompt_ids: number[], ids: number[]}} Prompt
 * @typedef {{name: string, adapters: {path: string, weight: number}[], captions: Caption[],
 *            batch: {images: number[], ids: number[][]}, prompt: Prompt}} Case
 * @typedef {{name: string, folder: string, checkpoint: string, eos: number[], maxNewTokens: number,
 *            images: string[], cases: Case[]}} Golden
 */

/** @param {string} name @param {string} [goldens] @returns {Golden} */
export function readGolden(name, goldens = CHECKPOINTS) {
  const folder = join(goldens, name);
  const golden = JSON.parse(readFileSync(join(folder, 'golden/golden.json'), 'utf8'));
  if (golden.format !== 1) {
    throw new Error(`${folder}: golden format ${golden.format}, these tests read 1`);
  }
  return {
    name,
    folder,
    checkpoint: join(folder, golden.checkpoint),
    eos: [golden.eos_token_id].flat(),
    maxNewTokens: golden.max_new_tokens,
    images: golden.images.map((/** @type {string} */ image) => join(folder, 'golden', image)),
    cases: golden.cases,
  };
}

/** Every golden checkpoint. @returns {Golden[]} */
export function allGoldens() {
  const names = readdirSync(CHECKPOINTS).filter((name) => existsSync(join(CHECKPOINTS, name, 'golden')));
  return names.map((name) => readGolden(name));
}

/** Those whose decoder attends to the encoder. @returns {Golden[]} */
export function crossGoldens() {
  return readdirSync(CROSS).map((name) => readGolden(name, CROSS));
}

/**
 * Those whose images no one has to resize: stock transformers.js does not resize as Pillow does, so what it makes of
 * the others' images, and with them some tokens, differ from PyTorch's.
 */
export function goldensOfOwnSize() {
  const resized = ['clipgelu', 'dinov2'];
  return allGoldens().filter(({ name }) => !resized.includes(name));
}

/** What torch made of the images: float32 [images, 3, H, W]. @param {Golden} golden */
export function pixelValues(golden) {
  return readSafetensors(join(golden.folder, 'golden/golden.safetensors')).pixel_values;
}

/**
 * Presses one case of a golden checkpoint; generation stops where the golden's did.
 * @param {Golden} golden
 * @param {Case} part
 * @param {string[]} [options] more options of press
 */
export function pressCase(golden, part, options = []) {
  const adapters = part.adapters.flatMap(({ path, weight }) => ['--adapter', `${join(golden.folder, path)}:${weight}`]);
  const name = [golden.name, part.name, ...options.map((option) => option.replace(/^--/, ''))].join('-');
  return press(name, golden.checkpoint, [...adapters, '--max-new-tokens', `${golden.maxNewTokens}`, ...options]);
}

/**
 * Presses a copy of a golden's checkpoint with a generation_config.json of its own.
 * @param {Golden} golden
 * @param {object} file
 * @param {string[]} options
 */
export async function pressWithFile(golden, file, options) {
  const text = JSON.stringify(file);
  const name = `${golden.name}-${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;
  const checkpoint = await shared(`${name}-checkpoint`, async (path) => {
    cpSync(golden.checkpoint, path, { recursive: true });
    writeFileSync(join(path, 'generation_config.json'), text);
  });
  return press([name, ...options].join(''), checkpoint, options);
}

/** A row of ids up to its first end token: what follows in a batch is no part of the caption. */
export function untilEnd(/** @type {number[]} */ ids, /** @type {number[]} */ eos) {
  const end = ids.findIndex((id) => eos.includes(id));
  return end === -1 ? ids : ids.slice(0, end + 1);
}
