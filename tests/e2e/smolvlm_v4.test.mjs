import { testPlaceholder } from './lib/placeholder.mjs';

await testPlaceholder('v4', [['smolvlm/smolvlm'], ['smolvlm/idefics3'], ['smolvlm/smolvlm', '--ops', 'standard']]);
