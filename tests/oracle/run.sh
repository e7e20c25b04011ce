#!/usr/bin/env bash
# Checks that tests/goldens are what the real Python libraries give, and a built program live against torch and PEFT.
# Usage: tests/oracle/run.sh [--all|--write] [PROGRAM]
#   (neither)  makes the goldens again and compares them only if a maker, a pinned library or a golden has changed since they
#              were made (tests/goldens/made_by.json)
#   --all      makes them again in any case, and compares
#   --write    replaces tests/goldens by what was made instead of comparing
#   PROGRAM    the lorapress binary (default: build/lorapress; without one the live check is skipped)
# SEEDS=n sets how many checkpoints the live check makes (default 12).
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
mode=changed
case ${1:-} in
  --all | --write)
    mode=${1#--}
    shift
    ;;
esac
program="${1:-$root/build/lorapress}"

"$root/train/setup.sh"
python="$root/.venv-train/bin/python"
export PYTHONDONTWRITEBYTECODE=1

if [[ $mode == write ]]; then
  "$python" "$here/make_all.py"
  "$python" "$here/made_by.py" --write
  exit 0
fi

status=0
if ! "$python" "$here/made_by.py" || [[ $mode == all ]]; then
  scratch="$(mktemp -d)"
  trap 'rm -rf "$scratch"' EXIT
  "$python" "$here/make_all.py" --out "$scratch"
  if "$python" "$here/compare.py" "$scratch"; then
    [[ ${CI:-} == true ]] || "$python" "$here/made_by.py" --write # they are equal: known from now on
  else
    status=1
  fi
fi
if [[ -x $program ]]; then
  "$python" "$here/live.py" "$program" --seeds "${SEEDS:-12}" || status=1
  "$python" "$here/live_tables.py" "$program" || status=1
  "$python" "$here/live_placeholder.py" "$program" || status=1
else
  echo "oracle: no program at $program; live check skipped (make build)"
  [[ ${CI:-} != true ]] || status=1
fi
exit "$status"
