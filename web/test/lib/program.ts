// The lorapress program, and folders that it pressed for all tests of a run.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT: string = resolve(fileURLToPath(import.meta.url), "../../../..");
export const WEB: string = join(ROOT, "web");

export const PROGRAM: string = process.env["LORAPRESS"] ?? join(ROOT, "build/lorapress");

export function run(args: readonly string[]): string {
  return execFileSync(PROGRAM, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** The folder that press_all.ts made. */
export function scratch(): string {
  const folder = process.env["LORAPRESS_WEB_SCRATCH"];
  if (folder === undefined) {
    throw new Error("LORAPRESS_WEB_SCRATCH is not set: run the tests with vitest");
  }
  return folder;
}

export function press(name: string, checkpoint: string, options: readonly string[] = []): string {
  const out = join(scratch(), name);
  if (!existsSync(out)) {
    run(["press", checkpoint, out, ...options]);
  }
  return out;
}

export function pressed(name: string): string {
  return join(scratch(), name);
}
