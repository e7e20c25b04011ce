#!/usr/bin/env bash
# What makes wheels (packaging/), without building one: the zip, tags, what binaries ask for, pins, SBOM, and the files of a public host.
# usage: tests/packaging/run.sh [PROGRAM]
set -euo pipefail
here=$(dirname "$(realpath "$0")")
LORAPRESS=$(realpath "${1:-$here/../../build/lorapress}")
export LORAPRESS PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/../hostile:$here/../../packaging
exec python3 "$here/../hostile/runner.py" "$here" "${@:2}"
