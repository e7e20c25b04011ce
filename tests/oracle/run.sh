#!/usr/bin/env bash
# Makes the goldens again with the real Python libraries, compares them with tests/goldens, and
# checks a built program live against torch and PEFT.
# Usage: tests/oracle/run.sh [--write] [PROGRAM]
#   --write   replace tests/goldens by what was made instead of comparing
#   PROGRAM   the lorapress binary (default: build/lorapress; without one the live check is skipped)
# SEEDS=n sets how many checkpoints the live check makes (default 12).
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
write=no
if [[ ${1:-} == --write ]]; then
  write=yes
  shift
fi
program="${1:-$root/build/lorapress}"

"$root/train/setup.sh"
python="$root/.venv-train/bin/python"
export PYTHONDONTWRITEBYTECODE=1

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
target="$scratch"
[[ $write == yes ]] && target="$root/tests/goldens"

for part in adapters bundles chat checkpoints float64 generation images llava merge smolvlm tables text tiles tokenizers; do
  "$python" "$here/make_$part.py" --out "$target/${part/tokenizers/tokenizer}"
done
if [[ $write == yes ]]; then
  exit 0
fi

status=0
"$python" "$here/compare.py" "$scratch" || status=1
if [[ -x $program ]]; then
  "$python" "$here/live.py" "$program" --seeds "${SEEDS:-12}" || status=1
  "$python" "$here/live_tables.py" "$program" || status=1
  "$python" "$here/live_placeholder.py" "$program" || status=1
else
  echo "oracle: no program at $program; live check skipped (make build)"
  [[ ${CI:-} != true ]] || status=1
fi
exit "$status"
