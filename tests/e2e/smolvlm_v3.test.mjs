import { testPlaceholder } from './lib/placeholder.mjs';

await testPlaceholder('v3', [['smolvlm/smolvlm'], ['smolvlm/idefics3'], ['smolvlm/smolvlm', '--ops', 'standard']]);
