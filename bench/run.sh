#!/usr/bin/env bash
# Measures a built program on checkpoints of random weights at real shapes: seconds and memory of merge, export
# and press beside cp, speed of captions, memory against model size.
# usage: bench/run.sh [PROGRAM] [--quick] [--step NAME] [--only engine]
#   PROGRAM   default build/lorapress
#   --quick   fewer rounds, no second model size (about a minute on an idle machine)
#   --step    time one of merge, export, "export, five dtypes", press alone
#   --only engine   the own engine beside ONNX Runtime, and beside llama.cpp and onnxruntime-genai where
#             bench/peers/decode.sh has them; leaves engine.md
# Leaves latest.json and latest.md in bench/ beside PROGRAM. Needs about 5 GB of disk there, 10 GB without --quick.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
program="$here/../build/lorapress"
options=()
only=
while [[ $# -gt 0 ]]; do
  case $1 in
    --quick) options+=(--quick) ;;
    --step) options+=(--step "${2:?--step needs a name}"); shift ;;
    --only) only=${2:?--only needs a name}; options+=(--only "$only"); shift ;;
    -*) sed -n '2,10s/^# //p' "$0" >&2; exit 2 ;;
    *) program=$1 ;;
  esac
  shift
done
[[ -x $program ]] || { echo "bench: no program at $program (make build)" >&2; exit 2; }
build="$(cd "$(dirname "$program")" && pwd)"
cmake --build "$build" --target make_checkpoint single_captions >/dev/null
python3 "$here/measure.py" "$build/$(basename "$program")" "$build/bench/make_checkpoint" \
  --out "$build/bench" "${options[@]}"
if [[ $only == engine ]]; then
  if [[ -f $here/peers/node_modules/.installed ]]; then
    "$here/peers/decode.sh" "$build/$(basename "$program")" | tee -a "$build/bench/engine.md"
  else
    echo "bench: beside llama.cpp and onnxruntime-genai: bench/peers/decode.sh, which installs both first" >&2
  fi
fi
