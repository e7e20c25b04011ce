#!/usr/bin/env bash
# Makes the Python environment ENV of the pins in REQUIREMENTS; quick and silent when it is there. Needs a package index once.
# usage: tools/python_env.sh ENV REQUIREMENTS
set -euo pipefail
env=$1 pins=$2

if ! cmp -s "$pins" "$env/READY"; then
  echo "python_env: installing the packages of $pins"
  [ -x "$env/bin/python" ] || "${PYTHON:-python3}" -m venv "$env"
  if ! "$env/bin/python" -m pip install --quiet --disable-pip-version-check -r "$pins"; then
    echo "python_env: pip failed; $env needs a package index once" >&2
    exit 1
  fi
  cp "$pins" "$env/READY"
fi
