#!/usr/bin/env bash
# Runs the five commands of README's "From your pictures to a caption in a tab" as they stand there, then opens the
# site in Chromium and compares its caption of a drawn scene with the program's.
# usage: tests/workflow/run.sh [PROGRAM]
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
program=$(realpath "${1:-$root/build/lorapress}")

# The commands run beside the project's folders, so that what they make is gone afterwards.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
ln -s "$root"/* "$root/.venv-train" "$root/.deps" .
rm build
mkdir build
ln -s "$program" build/lorapress
make() { # the program is built already
  command make --old-file=build "$@"
}

count=0
while IFS= read -r command; do
  count=$((count + 1))
  echo "\$ $command"
  eval "$command" >log 2>&1 || { cat log; echo "workflow: failed: $command" >&2; exit 1; }
done < <(awk '/^## From your pictures/ { here = 1 } here && /^```/ { if (++fence == 2) exit; next } fence == 1' "$root/README.md")
[[ $count == 5 ]] || { echo "workflow: $count commands found in README.md, expected 5" >&2; exit 1; }

expected=$(build/lorapress caption runs/shapes/pressed "$root/models/demo/images/scene-10000001.png" --dtype fp32)
node "$here/caption.mjs" "$program" site "$root/models/demo/images/scene-10000001.png" "$expected"
