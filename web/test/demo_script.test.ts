// What `make demo` leaves: tools/demo.sh without a terminal ends, and its page works behind
// `lorapress serve`. The picture of the README is made of it.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PNG } from "pngjs";
import { expect, it } from "vitest";
import { PROGRAM, ROOT, scratch, WEB } from "./lib/program.js";

it("tools/demo.sh ends with a page that captions", () => {
  const out = join(scratch(), "demo-script");
  const env = { ...process.env, DEMO_OUT: out, LORAPRESS: PROGRAM };
  const told = execFileSync("tools/demo.sh", [PROGRAM, "--no-serve"], {
    cwd: ROOT,
    env,
    encoding: "utf8",
  });
  expect(told).toContain("10 images, ");
  expect(told).toContain(`serve ${out}/demo-page, then open the address`);
  const path = join(out, "demo.png");
  execFileSync("node", ["tools/screenshot.mjs", join(out, "demo-page"), path], { cwd: WEB, env });
  const picture = readFileSync(path);
  const { width, height } = PNG.sync.read(picture);
  expect([width, height]).toEqual([1100, 880]);
  expect(picture.length).toBeLessThan(150_000);
});
