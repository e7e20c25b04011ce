import { testLlava } from './lib/llava.mjs';
import { testPlaceholder } from './lib/placeholder.mjs';

await testLlava('v4');
await testPlaceholder('v4', [
  ['llava/clip', '--dtype', 'fp32,fp16,q8,q4,q4f16'],
  ['llava/siglip'],
  ['llava/layers'],
  ['llava/clip', '--ops', 'standard'],
]);
