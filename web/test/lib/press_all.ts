// Presses, before all tests, the folders that they share, and bundles what pages load.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allGoldens, CROSS, LLAVA, REAL_PLACEHOLDERS, readCross, readGolden } from "./goldens.js";
import { press, ROOT, WEB } from "./program.js";
import { rulesInGraph } from "./rules.js";

export default function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), "lorapress-web-"));
  process.env["LORAPRESS_WEB_SCRATCH"] = folder;
  press("demo", join(ROOT, "models/demo"));
  press("demo-dtypes", join(ROOT, "models/demo"), ["--dtype", "fp32,fp16,q8"]);
  press("demo-external", join(ROOT, "models/demo"), ["--external-data"]);
  for (const golden of allGoldens()) {
    const most = ["--max-new-tokens", `${golden.maxNewTokens}`];
    press(golden.name, golden.checkpoint, [...golden.pressOptions, ...most]);
  }
  for (const name of LLAVA) {
    const { checkpoint, pressOptions, maxNewTokens } = readGolden(name);
    const options = ["--bundle", "llava", "--dtype", "fp32,fp16,q8"];
    const most = ["--max-new-tokens", `${maxNewTokens}`];
    press(`${name}-llava`, checkpoint, [...pressOptions, ...options, ...most]);
  }
  for (const name of CROSS) {
    const { checkpoint, pressOptions, maxNewTokens } = readCross(name);
    const options = ["--dtype", "fp32,fp16", "--max-new-tokens", `${maxNewTokens}`];
    press(`${name}-cross`, checkpoint, [...pressOptions, ...options]);
  }
  for (const name of REAL_PLACEHOLDERS) {
    const [base, adapter] = ["base", "adapter"].map((part) =>
      join(ROOT, "tests/goldens", name, part),
    );
    const options = existsSync(adapter as string) ? ["--adapter", adapter as string] : [];
    press(name.replace("/", "-"), base as string, options);
  }
  const text = join(ROOT, "tests/goldens/text");
  const adapter = ["--adapter", join(text, "llama/adapter"), "--dtype", "fp32,fp16,q8"];
  press("text-llama", join(text, "llama/base"), adapter);
  press("text-qwen2", join(text, "qwen2/merged"), ["--external-data"]);
  press("text-gpt2", join(text, "gpt2/base"), ["--adapter", join(text, "gpt2/adapter")]);
  press("text-opt", join(text, "opt/merged"), []);
  for (const { name, checkpoint, options, maxNewTokens } of rulesInGraph()) {
    const settings = Object.entries(options).flatMap(([key, value]) => [
      "--set",
      `${key}=${JSON.stringify(value)}`,
    ]);
    const most = ["--max-new-tokens", `${maxNewTokens}`];
    press(name, checkpoint, ["--rules-in-graph", ...settings, ...most]);
  }
  const modules = ["test/page/internals.ts"];
  execFileSync("node", ["tools/bundle.mjs", join(folder, "bundle"), ...modules], { cwd: WEB });
  execFileSync("node", ["tools/bundle.mjs", "--demo", join(folder, "demo-page")], { cwd: WEB });
  return () => rmSync(folder, { recursive: true, force: true });
}
