#!/usr/bin/env bash
# Trains the demo checkpoint from nothing: environment, scenes, both stages, metrics, model card.
# Usage: train/run.sh [--out DIR] [--work DIR] [--smoke]
# A broken-off run goes on where it stood; delete train/.work to start anew.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
"$root/train/setup.sh" "$root/.venv-train"
cd "$root"
exec .venv-train/bin/python -m train "$@"
