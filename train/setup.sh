#!/usr/bin/env bash
# Creates the training environment from train/requirements.txt; does nothing when it is up to date.
# Usage: train/setup.sh [ENV_DIR]      (default: .venv-train beside this folder)
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
env_dir="${1:-$here/../.venv-train}"
pins="$here/requirements.txt"
stamp="$env_dir/READY"

if [[ -f "$stamp" ]] && cmp -s "$pins" "$stamp"; then
  exit 0
fi

if command -v uv >/dev/null 2>&1; then
  [[ -x "$env_dir/bin/python" ]] || uv venv --python "${PYTHON:-python3}" "$env_dir"
  uv pip install --python "$env_dir/bin/python" -r "$pins"
else
  [[ -x "$env_dir/bin/python" ]] || "${PYTHON:-python3}" -m venv "$env_dir"
  "$env_dir/bin/python" -m pip install -r "$pins"
fi

"$env_dir/bin/python" -c "import torch, transformers, peft, tokenizers, safetensors, PIL"
cp "$pins" "$stamp"
echo "training environment ready: $env_dir"
