import { testTransformersJs } from './lib/examples.mjs';

await testTransformersJs('v3');
