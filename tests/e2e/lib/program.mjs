// Runs the lorapress program; folders it pressed are kept in one scratch folder and shared by all
// test files of a run.

import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
export const PROGRAM = process.env.LORAPRESS ?? join(ROOT, 'build/lorapress');

const SCRATCH = process.env.LORAPRESS_E2E_SCRATCH ?? ownScratch();

function ownScratch() {
  const folder = mkdtempSync(join(tmpdir(), 'lorapress-e2e-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * Runs the program and waits for its end, whatever the exit status.
 * @param {string[]} args
 * @returns {Promise<{status: number, stdout: string, stderr: string}>}
 */
export async function run(args) {
  try {
    const { stdout, stderr } = await promisify(execFile)(PROGRAM, args, { maxBuffer: 1 << 26 });
    return { status: 0, stdout, stderr };
  } catch (error) {
    if (typeof error.code !== 'number') {
      throw error; // the program is missing or was killed
    }
    return { status: error.code, stdout: error.stdout, stderr: error.stderr };
  }
}

/** A path in the scratch folder of this run. @param {string} name */
export function scratch(name) {
  return join(SCRATCH, name);
}

/**
 * Makes scratch(name) by `make(path)` unless a test before did. Two processes may do so at once:
 * each makes its own and the first rename wins.
 * @param {string} name
 * @param {(path: string) => Promise<void>} make
 * @returns {Promise<string>} the folder
 */
export async function shared(name, make) {
  const folder = scratch(name);
  if (existsSync(folder)) {
    return folder;
  }
  const own = `${folder}.${process.pid}`;
  await make(own);
  try {
    renameSync(own, folder);
  } catch (error) {
    if (!existsSync(folder)) {
      throw error;
    }
    rmSync(own, { recursive: true });
  }
  return folder;
}

/**
 * Presses a checkpoint; returns the folder.
 * @param {string} name of the folder in the scratch folder
 * @param {string} checkpoint
 * @param {string[]} [options]
 */
export function press(name, checkpoint, options = []) {
  return shared(name, async (out) => {
    const { status, stderr } = await run(['press', checkpoint, out, ...options]);
    if (status !== 0) {
      throw new Error(`lorapress press ${checkpoint} ${options.join(' ')}: exit status ${status}: ${stderr}`);
    }
  });
}
