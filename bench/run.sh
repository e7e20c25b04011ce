#!/usr/bin/env bash
# Measures a built program on checkpoints of random weights at real shapes: seconds and memory of merge, export
# and press beside cp, speed of captions, memory against model size.
# usage: bench/run.sh [PROGRAM] [--quick]
#   PROGRAM   default build/lorapress
#   --quick   fewer rounds, no second model size (about a minute on an idle machine)
# Leaves latest.json and latest.md in bench/ beside PROGRAM. Needs about 5 GB of disk there, 10 GB without --quick.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
program="$here/../build/lorapress"
quick=()
for argument in "$@"; do
  case $argument in
    --quick) quick=(--quick) ;;
    -*) sed -n '2,7s/^# //p' "$0" >&2; exit 2 ;;
    *) program=$argument ;;
  esac
done
[[ -x $program ]] || { echo "bench: no program at $program (make build)" >&2; exit 2; }
build="$(cd "$(dirname "$program")" && pwd)"
cmake --build "$build" --target make_checkpoint single_captions >/dev/null
exec python3 "$here/measure.py" "$build/$(basename "$program")" "$build/bench/make_checkpoint" \
  --out "$build/bench" "${quick[@]}"
