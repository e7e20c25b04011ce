import { testLlava } from './lib/llava.mjs';
import { testPlaceholder } from './lib/placeholder.mjs';

await testLlava('v4');
await testPlaceholder('v4', [['llava/clip'], ['llava/siglip'], ['llava/layers'], ['llava/clip', '--ops', 'standard']]);
