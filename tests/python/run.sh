#!/usr/bin/env bash
# The Python package (python/) over the C ABI: captions equal to the program's, errors, cancelled calls, threads, leaks.
# usage: tests/python/run.sh [PROGRAM] [unittest options, as in -k Captions]
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
LORAPRESS=$(realpath "${1:-$root/build/lorapress}")
LORAPRESS_LIBRARY=${LORAPRESS_LIBRARY:-$(dirname "$LORAPRESS")/liblorapress_c.so}
"$root/train/setup.sh"
export LORAPRESS LORAPRESS_LIBRARY PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$root/python:$root:$here:$here/../hostile
exec "$root/.venv-train/bin/python" "$here/../hostile/runner.py" "$here" "${@:2}"
