import { testLlava } from './lib/llava.mjs';
import { testPlaceholder } from './lib/placeholder.mjs';

await testLlava('v3');
await testPlaceholder('v3', [['llava/clip'], ['llava/siglip'], ['llava/layers'], ['llava/clip', '--ops', 'standard']]);
