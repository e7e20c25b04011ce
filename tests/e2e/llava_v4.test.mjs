import { testLlava } from './lib/llava.mjs';

await testLlava('v4');
