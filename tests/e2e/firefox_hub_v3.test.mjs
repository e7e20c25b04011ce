import { testHub } from './lib/firefox_hub.mjs';

await testHub('v3');
