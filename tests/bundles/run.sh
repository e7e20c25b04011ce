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

if ! cmp -s "$here/requirements.txt" "$env/READY"; then
  echo "bundles: installing the packages of requirements.txt"
  [ -x "$env/bin/python" ] || "${PYTHON:-python3}" -m venv "$env"
  if ! "$env/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"; then
    echo "bundles: pip failed; these tests need a package index once" >&2
    exit 1
  fi
  cp "$here/requirements.txt" "$env/READY"
fi

[ "${1:-}" != --install ] || exit 0

LORAPRESS=$(realpath "${1:-$root/build/lorapress}")
export LORAPRESS PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here
exec "$env/bin/python" -m unittest discover --start-directory "$here" "${@:2}"
