#!/usr/bin/env bash
# The npm package under web/: format, types, the tarball, unit tests and whole captions in Node, then Chromium on
# folders that PROGRAM presses, with the package's own runtime and with the stock clients of tests/e2e.
# usage: tests/web/run.sh [PROGRAM [TEST...]]   PROGRAM: build/lorapress; TEST: a part of a file's name
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
program=$(realpath "${1:-$root/build/lorapress}")
shift || true
cd "$root/web"

if ! [ -x "$program" ]; then
  echo "web: no program at $program (make build)" >&2
  exit 1
fi
if ! command -v "${CHROMIUM:-chromium}" >/dev/null; then
  echo "web: no chromium (tools/setup.sh test; CHROMIUM names another)" >&2
  exit 1
fi

"$root/tools/npm_install.sh" web tests/e2e
npm run --silent check
LORAPRESS=$program npx --no-install vitest run "$@"
