import { testVersion } from './lib/captioning.mjs';

await testVersion('v4');
