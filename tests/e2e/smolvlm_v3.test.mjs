import { testPlaceholder, testRulesInside } from './lib/placeholder.mjs';

await testPlaceholder('v3', [
  ['smolvlm/smolvlm', '--dtype', 'fp32,fp16,q8,q4,q4f16'],
  ['smolvlm/idefics3'],
  ['smolvlm/smolvlm', '--ops', 'standard'],
]);
await testRulesInside('v3', ['smolvlm/smolvlm']);
