#!/usr/bin/env bash
# Creates the training environment from train/requirements.lock; does nothing when it is up to date.
# Usage: train/setup.sh [ENV_DIR]      (default: .venv-train beside this folder)
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
env_dir="${1:-$here/../.venv-train}"
pins="$here/requirements.lock" # every package, so nothing is resolved
stamp="$env_dir/READY"

if [[ -f "$stamp" ]] && cmp -s "$pins" "$stamp"; then
  exit 0
fi

echo "training environment: installing $(grep -c == "$pins") packages into $env_dir (torch and its libraries: 2 GB to fetch, once)"
[[ -x "$env_dir/bin/python" ]] || "${PYTHON:-python3}" -m venv "$env_dir"
"$env_dir/bin/python" -m pip install --disable-pip-version-check --no-cache-dir --progress-bar off --no-deps -r "$pins" |
  sed -u -n 's/^Collecting \([^ ;]*\).*/  \1/p; /^Successfully/p'
"$env_dir/bin/python" -c "import torch, transformers, peft, tokenizers, safetensors, PIL"
cp "$pins" "$stamp"
echo "training environment ready: $env_dir"
