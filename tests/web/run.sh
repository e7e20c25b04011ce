#!/usr/bin/env bash
# The npm package under web/: format, types, unit tests and whole captions in Node, then Chromium on
# folders that PROGRAM presses. Packages are installed when the lock file changed, without scripts.
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
if ! command -v node >/dev/null || ! command -v npm >/dev/null ||
  [ "$(node -p 'parseInt(process.versions.node)')" -lt 18 ]; then
  echo "web: Node 18 or newer with npm is needed (tools/setup.sh)" >&2
  exit 1
fi
if ! command -v "${CHROMIUM:-chromium}" >/dev/null; then
  echo "web: no chromium (tools/setup.sh test; CHROMIUM names another)" >&2
  exit 1
fi

stamp=node_modules/.installed
lock=$(cat package.json package-lock.json .npmrc | sha256sum)
if [ "$(cat $stamp 2>/dev/null)" != "$lock" ]; then
  echo "web: installing the packages of package-lock.json"
  if ! npm ci --ignore-scripts --no-audit --no-fund --loglevel=error; then
    echo "web: npm ci failed; these tests need a package registry once" >&2
    exit 1
  fi
  echo "$lock" >$stamp
fi

npm run --silent check
npm run --silent build
LORAPRESS=$program npx --no-install vitest run "$@"
