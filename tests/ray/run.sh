#!/usr/bin/env bash
# lorapress.ray on a real cluster of this machine, one of whose workers is killed. The packages (requirements.txt, 500 MB on disk)
# are installed once into .venv-ray.
# usage: tests/ray/run.sh [PROGRAM] [unittest options, as in -k Inputs]
#        tests/ray/run.sh --install    only the packages
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")

"$root/tools/python_env.sh" "$root/.venv-ray" "$here/requirements.txt"
[ "${1:-}" != --install ] || exit 0

LORAPRESS=$(realpath "${1:-$root/build/lorapress}")
LORAPRESS_LIBRARY=${LORAPRESS_LIBRARY:-$(dirname "$LORAPRESS")/liblorapress_c.so}
export LORAPRESS LORAPRESS_LIBRARY PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$root/python:$here:$here/../python:$here/../hostile
export RAY_USAGE_STATS_ENABLED=0 RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0 PYTHONWARNINGS=ignore
export RAY_worker_niceness=0 # else Ray's workers give way to the tests beside these
exec "$root/.venv-ray/bin/python" "$here/../hostile/runner.py" "$here" "${@:2}"
