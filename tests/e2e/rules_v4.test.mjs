import { testRules } from './lib/rules.mjs';

await testRules('v4');
