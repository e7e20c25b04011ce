#!/usr/bin/env node
// Runs the program of this machine's package, @lorapress/cli-PLATFORM-CPU, which npm has installed as an optional dependency.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";

const { optionalDependencies } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));
const platform = `${process.platform}-${process.arch}`;
const name = `@lorapress/cli-${platform}`;

function fail(text) {
  process.stderr.write(`@lorapress/cli: ${text}\n`);
  process.exit(1);
}

// The programs are linked with glibc.
const isMusl = () => process.platform === "linux" && !process.report?.getReport().header.glibcVersionRuntime;

function findProgram() {
  const known = Object.keys(optionalDependencies);
  if (!known.includes(name) || isMusl()) {
    const here = isMusl() ? `${platform} with musl` : platform;
    const there = known.map((one) => one.replace("@lorapress/cli-", "")).join(", ");
    fail(`there is no program for ${here} (there are: ${there}, Linux with glibc); build it from source, as the repository's README.md says`);
  }
  try {
    const file = process.platform === "win32" ? "lorapress.exe" : "lorapress";
    return createRequire(import.meta.url).resolve(`${name}/bin/${file}`);
  } catch {
    return fail(`${name}, which has the program, is not installed; install again with optional dependencies (npm install --include=optional)`);
  }
}

const program = findProgram();
const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];
for (const signal of SIGNALS) {
  process.on(signal, () => child.kill(signal)); // and wait for what the program says
}
child.on("error", ({ message }) => fail(`${program}: ${message}`));
child.on("exit", (status, signal) => {
  process.exit(status ?? 128 + (constants.signals[signal ?? "SIGTERM"] ?? 0));
});
