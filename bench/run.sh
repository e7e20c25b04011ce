#!/usr/bin/env bash
# Measures a built program on checkpoints of random weights at real shapes: seconds and memory of merge, export
# and press beside cp, speed of captions, memory against model size.
# usage: bench/run.sh [PROGRAM] [--quick] [--step NAME]
#   PROGRAM   default build/lorapress
#   --quick   fewer rounds, no second model size (about a minute on an idle machine)
#   --step    time one of merge, export, "export, five dtypes", press alone
# Leaves latest.json and latest.md in bench/ beside PROGRAM. Needs about 5 GB of disk there, 10 GB without --quick.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
program="$here/../build/lorapress"
options=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --quick) options+=(--quick) ;;
    --step) options+=(--step "${2:?--step needs a name}"); shift ;;
    -*) sed -n '2,8s/^# //p' "$0" >&2; exit 2 ;;
    *) program=$1 ;;
  esac
  shift
done
[[ -x $program ]] || { echo "bench: no program at $program (make build)" >&2; exit 2; }
build="$(cd "$(dirname "$program")" && pwd)"
cmake --build "$build" --target make_checkpoint single_captions >/dev/null
exec python3 "$here/measure.py" "$build/$(basename "$program")" "$build/bench/make_checkpoint" \
  --out "$build/bench" "${options[@]}"
