#!/usr/bin/env bash
# Trains the demo checkpoint from nothing, by two uses of make train: a base in style A, whose decoder knows style B's
# words, and an adapter and projection for style B; then metrics, pictures and model card.
# Usage: train/run.sh [OUT]      (default: models/demo)
# A broken-off run goes on where it stood; delete runs/demo* to start anew.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
"$root/train/setup.sh" "$root/.venv-train"
cd "$root"
both=(--sample 60000 --bf16 --shares 2 --lora-dropout 0 --lora-alpha 32 --seed 17 --patience 100 --save-steps 1500)
.venv-train/bin/python -m train.tune "${both[@]}" --out runs/demo-base --dataset shapes-plain --epochs 3.6
.venv-train/bin/python -m train.tune "${both[@]}" --out runs/demo --dataset shapes --from runs/demo-base/best --adapter new \
  --lora-rate 2e-3 --projection-rate 2e-3 --epochs 1.867
exec .venv-train/bin/python -m train.demo runs/demo runs/demo-base ${1:+--out "$1"}
