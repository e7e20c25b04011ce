#!/usr/bin/env bash
# Two workers of lorapress.ray beside two plain processes of `lorapress caption --jsonl`, and a Captioner in Python beside one, on the same
# images in turns: images a second, and the ratios.
# usage: bench/ray.sh [PROGRAM] [--images N] [--rounds N] [--model FOLDER]
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/..")
LORAPRESS=$root/build/lorapress
if [ $# -gt 0 ] && [ "${1:0:2}" != -- ]; then LORAPRESS=$(realpath "$1"); shift; fi
[ -x "$LORAPRESS" ] || { echo "bench: no program at $LORAPRESS (make build)" >&2; exit 2; }
LORAPRESS_LIBRARY=${LORAPRESS_LIBRARY:-$(dirname "$LORAPRESS")/liblorapress_c.so}
"$root/tools/python_env.sh" "$root/.venv-ray" "$root/tests/ray/requirements.txt"
export LORAPRESS LORAPRESS_LIBRARY PYTHONPATH=$root/python RAY_USAGE_STATS_ENABLED=0 RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0
export RAY_worker_niceness=0 # else Ray's workers give way to whatever else runs here, and plain processes do not
exec "$root/.venv-ray/bin/python" "$here/ray_beside_processes.py" "$@"
