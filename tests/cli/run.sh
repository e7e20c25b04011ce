#!/usr/bin/env bash
# The command line as a user meets it: help, reports, pipes, terminals, exit codes.
# usage: tests/cli/run.sh [PROGRAM] [unittest options, as in -k Help]
set -euo pipefail
here=$(dirname "$(realpath "$0")")
LORAPRESS=$(realpath "${1:-$here/../../build/lorapress}")
export LORAPRESS PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/../hostile
exec python3 "$here/../hostile/runner.py" "$here" "${@:2}"
