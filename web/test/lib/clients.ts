// transformers.js as npm ships it, from the packages of tests/e2e.
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { ROOT } from "./program.js";

const fromThere = createRequire(join(ROOT, "tests/e2e/package.json"));

export const VERSIONS = { v4: "4.3.1", v3: "3.8.1", v2: "2.17.2" } as const;
export type Version = keyof typeof VERSIONS;

/** Where a test's server puts what a page loads: the package, and the onnxruntime-web that it brings. */
export function mounts(version: Version): Record<string, string> {
  const main = fromThere.resolve(`transformers-${version}`);
  return {
    [`/${version}/`]: version === "v2" ? join(dirname(main), "../dist") : dirname(main),
    [`/${version}-ort/`]: dirname(createRequire(main).resolve("onnxruntime-web")),
  };
}

/** The Node build of version 4. */
// biome-ignore lint/suspicious/noExplicitAny: a client's own interface
export async function loadNodeBuild(): Promise<any> {
  const main = fromThere.resolve("transformers-v4");
  return import(pathToFileURL(main.replace(/\.cjs$/, ".mjs")).href);
}
