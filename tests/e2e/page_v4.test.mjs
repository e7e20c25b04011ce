import { testPage } from './lib/page.mjs';

await testPage('v4');
