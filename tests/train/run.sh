#!/usr/bin/env bash
# The training step: readers of data sets, runs that are killed, the way from pictures to a caption.
# usage: tests/train/run.sh [PROGRAM] [unittest options, as in -k Readers]
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
LORAPRESS=$(realpath "${1:-$root/build/lorapress}")
"$root/train/setup.sh"
export LORAPRESS HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$root:$here/../hostile
exec "$root/.venv-train/bin/python" "$here/../hostile/runner.py" "$here" "${@:2}"
