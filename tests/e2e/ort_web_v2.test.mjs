import { testRuntime } from './lib/ort_web.mjs';

await testRuntime('v2');
