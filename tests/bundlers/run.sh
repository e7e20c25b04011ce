#!/usr/bin/env bash
# The npm package, packed, in projects of its users: examples/bundlers with Vite, webpack, Rollup and esbuild in their
# default configurations, built and opened in Chromium; Node, Bun and Deno; browser extensions; and @lorapress/cli. The packages are installed
# when the lock file changed (tools/npm_install.sh web tests/bundlers does so before), projects are made of
# them without a network.
# usage: tests/bundlers/run.sh [PROGRAM [NAME]]   PROGRAM: build/lorapress; NAME: a part of a test's name
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
program=$(realpath "${1:-$root/build/lorapress}")
cd "$root/tests/bundlers"

if ! [ -x "$program" ]; then
  echo "bundlers: no program at $program (make build)" >&2
  exit 1
fi
if ! command -v "${CHROMIUM:-chromium}" >/dev/null; then
  echo "bundlers: no chromium (tools/setup.sh test; CHROMIUM names another)" >&2
  exit 1
fi

"$root/tools/npm_install.sh" web tests/bundlers
build=${LORAPRESS_BUILD_DIR:-$root/build}
mkdir -p "$build"
scratch=$(mktemp -d "$build/bundlers-XXXXXX") # where packages can be linked instead of copied
trap 'rm -rf "$scratch"' EXIT
options=(--test-reporter=spec)
[ $# -lt 2 ] || options+=(--test-name-pattern="$2")
export LORAPRESS=$program LORAPRESS_BUNDLERS_SCRATCH=$scratch
node --input-type=module --eval 'import { prepare } from "./lib/project.mjs"; prepare();'
node --test "${options[@]}" ./*.test.mjs
