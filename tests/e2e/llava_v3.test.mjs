import { testLlava } from './lib/llava.mjs';
import { testPlaceholder } from './lib/placeholder.mjs';

await testLlava('v3');
await testPlaceholder('v3', [
  ['llava/clip', '--dtype', 'fp32,fp16,q8,q4,q4f16'],
  ['llava/siglip'],
  ['llava/layers'],
  ['llava/clip', '--ops', 'standard'],
]);
