#!/usr/bin/env bash
# Bundles in their Python clients: genai in onnxruntime-genai, single's standard operators in the full
# ONNX checker and its reference evaluator. The packages (requirements.txt, 300 MB on disk) are
# installed once into .venv-bundles.
# usage: tests/bundles/run.sh [PROGRAM] [unittest options, as in -k Genai]
#        tests/bundles/run.sh --install    only the packages
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
env=$root/.venv-bundles

"$root/tools/python_env.sh" "$env" "$here/requirements.txt"
[ "${1:-}" != --install ] || exit 0

LORAPRESS=$(realpath "${1:-$root/build/lorapress}")
export LORAPRESS PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here
exec "$env/bin/python" "$here/../hostile/runner.py" "$here" "${@:2}"
