// An esbuild plugin for browsers: pages read no files, so Node's modules stay out.
import { join } from "node:path";
import { WEB } from "./engine.mjs";

/** @type {import("esbuild").Plugin} */
export const noDisk = {
  name: "no disk",
  setup(build) {
    const path = join(WEB, "src/loading/no_disk.ts");
    build.onResolve({ filter: /\/disk\.js$/ }, () => ({ path }));
  },
};
