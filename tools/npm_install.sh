#!/usr/bin/env bash
# Installs the npm packages of FOLDERs as their lock files say, without running install scripts; quick and
# silent when they are there; two at a time wait for each other. Needs a package registry once.
# usage: tools/npm_install.sh FOLDER...
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v node >/dev/null || ! command -v npm >/dev/null ||
  [ "$(node -p 'parseInt(process.versions.node)')" -lt 18 ]; then
  echo "npm_install: Node 18 or newer with npm is needed (tools/setup.sh)" >&2
  exit 1
fi

for folder in "$@"; do
  exec 9<"$folder/package.json"
  flock 9
  stamp=$folder/node_modules/.installed
  lock=$(cd "$folder" && cat package.json package-lock.json .npmrc | sha256sum)
  if [ "$(cat "$stamp" 2>/dev/null)" != "$lock" ]; then
    echo "npm_install: installing the packages of $folder/package-lock.json"
    if ! (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error); then
      echo "npm_install: npm ci failed in $folder; it needs a package registry once" >&2
      exit 1
    fi
    echo "$lock" >"$stamp"
  fi
done
