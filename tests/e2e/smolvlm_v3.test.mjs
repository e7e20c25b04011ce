import { testSmolvlm } from './lib/smolvlm.mjs';

await testSmolvlm('v3');
