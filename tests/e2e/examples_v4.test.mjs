import { createRequire } from 'node:module';

import { testOrtWeb, testTransformersJs } from './lib/examples.mjs';
import { loadBuild, RUNTIMES } from './lib/ort_web.mjs';

const { from, builds } = RUNTIMES.v4;
const ort = await loadBuild(from, builds.find(({ wasm }) => wasm === 'plain'));
const fromThere = createRequire(createRequire(import.meta.url).resolve(from));
testOrtWeb(ort, fromThere('sharp'));
await testTransformersJs('v4');
