import { defineConfig, type ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/lib/press_all.ts"],
    // The program, the engine and a browser share the machine; a slow one is no failure.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    maxWorkers: 2,
    minWorkers: 1,
  },
});

export default config;
