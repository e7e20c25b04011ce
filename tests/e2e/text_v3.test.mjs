import { testText } from './lib/text.mjs';

await testText('v3');
