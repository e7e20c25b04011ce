#!/usr/bin/env bash
# Measures captions in Chromium: the npm package under web/ against the unmodified pipeline of
# transformers.js, same browser, same folders, taking turns; memory, a second visit, a slow line.
# usage: bench/web/run.sh [PROGRAM] [--quick] [--only captions|smolvlm|memory|visits|lazy|stores]
#   PROGRAM   default build/lorapress
#   --quick   fewer rounds
# Leaves latest.json and latest.md in bench-web/ beside PROGRAM. Needs about 10 GB of disk there; LORAPRESS_REAL
# names a checkpoint of real shape, otherwise one of random weights is made (1 GB).
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
program=$root/build/lorapress
options=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --quick) options+=(--quick) ;;
    --only) options+=(--only "${2:?--only needs a part}") && shift ;;
    -*) sed -n '2,9s/^# //p' "$0" >&2; exit 2 ;;
    *) program=$1 ;;
  esac
  shift
done
[[ -x $program ]] || { echo "bench-web: no program at $program (make build)" >&2; exit 2; }
program=$(realpath "$program")
build=$(dirname "$program")
out=$build/bench-web
site=$out/site
v4=$root/tests/e2e/node_modules/transformers-v4
"$root/tools/npm_install.sh" web tests/e2e
mkdir -p "$out"
real=${LORAPRESS_REAL:-$out/checkpoint}
if [[ ! -d $real ]]; then
  cmake --build "$build" --target make_checkpoint >/dev/null
  "$build/bench/make_checkpoint" "$real"
fi
# SmolVLM twice: its processor cuts images into tiles, or leaves them whole.
tiled=$out/smolvlm-checkpoint
if [[ ! -d $tiled ]]; then
  cmake --build "$build" --target make_checkpoint >/dev/null
  "$build/bench/make_checkpoint" "$tiled" --shape smolvlm-256m
fi
whole=$out/smolvlm-whole
rm -rf "$whole"
cp -al "$tiled" "$whole"
rm "$whole/preprocessor_config.json"
sed 's/"do_image_splitting": true/"do_image_splitting": false/' "$tiled/preprocessor_config.json" >"$whole/preprocessor_config.json"
press() { # CHECKPOINT NAME
  [[ -d $out/$2 && $out/$2 -nt $program ]] && return
  "$program" press "$1" "$out/$2" --dtype fp32,q8 --force >/dev/null
  touch "$out/$2"
}
press "$root/models/demo" demo
press "$real" real
press "$whole" smolvlm-1-tile
press "$tiled" smolvlm-17-tiles

rm -rf "$site"
mkdir -p "$site/models" "$site/stock" "$site/images"
cp -al "$out/demo" "$out/real" "$out"/smolvlm-{1-tile,17-tiles} "$site/models/"
node "$root/web/tools/bundle.mjs" "$site/bundle" test/page/internals.ts
cp -a "$root/bench/web/page/." "$site/"
cp "$v4/dist/transformers.min.js" \
  "$v4/node_modules/onnxruntime-web/dist/"ort-wasm-simd-threaded.asyncify.* \
  "$site/stock/"
node "$root/bench/web/images.mjs" "$root/models/demo/images/scene-10000000.png" "$site/images"
exec node "$root/bench/web/measure.mjs" "$program" "$site" "$out" "${options[@]}"
