import { testCross } from './lib/captioning.mjs';

await testCross('v3');
