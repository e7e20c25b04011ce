#!/usr/bin/env bash
# End to end: presses checkpoints with PROGRAM and runs the folders in transformers.js 4, 3 and 2 (their
# Node builds, and the web builds of 4 and 3), in onnxruntime-web, as npm ships them, and in Firefox. The packages
# (1 GB on disk) are installed when the lock file changed, without install scripts; one sharp serves all,
# the newest that runs on Node 18 (version 2's own would be fetched by such a script).
# usage: tests/e2e/run.sh [PROGRAM [TEST...]]   PROGRAM: build/lorapress; TEST: a file such as manifest.test.mjs
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
program=$(realpath "${1:-$root/build/lorapress}")
shift || true
cd "$root/tests/e2e"

if ! [ -x "$program" ]; then
  echo "e2e: no program at $program (make build)" >&2
  exit 1
fi
"$root/tools/npm_install.sh" tests/e2e web # web: the page that Firefox opens

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tests=("$@")
[ $# -gt 0 ] || tests=(*.test.mjs)
LORAPRESS=$program LORAPRESS_E2E_SCRATCH=$scratch node --test --test-reporter=spec "${tests[@]}"
