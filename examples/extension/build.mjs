// The extension in dist/, for Chromium and Firefox alike: src/, the runtime of the npm package, and the model if one is given.
// usage: node build.mjs [--model FOLDER] [--out FOLDER]   --model: what `lorapress press` wrote; --out: dist
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = fileURLToPath(new URL(".", import.meta.url));
const { values } = parseArgs({ options: { model: { type: "string" }, out: { type: "string" } } });
const { model, out = join(here, "dist") } = values;

if (model !== undefined && !existsSync(join(model, "lorapress.json"))) {
  process.stderr.write(
    `build: there is no lorapress.json in ${model}; lorapress press CHECKPOINT ${model} writes it\n`,
  );
  process.exit(1);
}
rmSync(out, { recursive: true, force: true });
cpSync(join(here, "src"), out, { recursive: true, filter: (path) => !path.endsWith(".d.ts") });
// On the CPU: WebGPU's files are 27 MB.
const copy = join(here, "node_modules/lorapress/dist/copy.mjs");
execFileSync(process.execPath, [copy, join(out, "lorapress/dist"), "--cpu", "--module"], {
  stdio: ["ignore", "ignore", "inherit"],
});
if (model !== undefined) {
  cpSync(model, join(out, "model"), { recursive: true });
}
process.stdout.write(
  `build: ${out} is the extension${model === undefined ? "; its options name the model" : ""}\n`,
);
