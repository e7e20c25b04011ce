#!/usr/bin/env bash
# Broken checkpoints, adapters, models and outputs: none may hang, crash, or leave anything behind.
# usage: tests/hostile/run.sh [PROGRAM] [unittest options, as in -k Config]
set -euo pipefail
here=$(dirname "$(realpath "$0")")
LORAPRESS=$(realpath "${1:-$here/../../build/lorapress}")
export LORAPRESS PYTHONDONTWRITEBYTECODE=1
exec python3 "$here/runner.py" "$here" "${@:2}"
