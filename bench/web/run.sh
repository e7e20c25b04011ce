#!/usr/bin/env bash
# Measures captions in Chromium: the npm package under web/ against the unmodified pipeline of
# transformers.js, same browser, same folders, taking turns; memory, a second visit, a slow line.
# usage: bench/web/run.sh [PROGRAM] [--quick] [--only engine|captions|smolvlm|old|guide|memory|visits|lazy|stores]
#   --only    one part; engine is the own engine beside ONNX Runtime and stock, old is VisionEncoderDecoder of ViT-base
#             and DistilGPT-2, guide the table of docs/guide.md
#   PROGRAM   default build/lorapress
#   --quick   fewer rounds
# Leaves latest.json and latest.md in bench-web/ beside PROGRAM. Needs about 12 GB of disk there; LORAPRESS_REAL
# names a checkpoint of real shape, otherwise one of random weights is made (1 GB).
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
program=$root/build/lorapress
only=
options=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --quick) options+=(--quick) ;;
    --only) only=${2:?--only needs a part} && options+=(--only "$only") && shift ;;
    -*) sed -n '2,11s/^# //p' "$0" >&2; exit 2 ;;
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
checkpoint() { # NAME SHAPE: makes it unless it is there
  [[ -d $out/$1 ]] && return
  cmake --build "$build" --target make_checkpoint >/dev/null
  "$build/bench/make_checkpoint" "$out/$1" --shape "$2"
}
models=()
press() { # CHECKPOINT NAME
  models+=("$out/$2")
  [[ -d $out/$2 && $out/$2 -nt $program ]] && grep -q '"q4f16"' "$out/$2/lorapress.json" && return
  "$program" press "$1" "$out/$2" --dtype fp32,q8,q4,q4f16 --force >/dev/null
  touch "$out/$2"
}
if [[ -z $only || $only == smolvlm ]]; then
  # SmolVLM twice: its processor cuts images into tiles, or leaves them whole.
  tiled=$out/smolvlm-checkpoint
  whole=$out/smolvlm-whole
  checkpoint smolvlm-checkpoint smolvlm-256m
  rm -rf "$whole"
  cp -al "$tiled" "$whole"
  rm "$whole/preprocessor_config.json"
  sed 's/"do_image_splitting": true/"do_image_splitting": false/' "$tiled/preprocessor_config.json" >"$whole/preprocessor_config.json"
  press "$whole" smolvlm-1-tile
  press "$tiled" smolvlm-17-tiles
fi
if [[ -z $only || $only == old || $only == guide ]]; then
  checkpoint old-checkpoint vit-distilgpt2
  press "$out/old-checkpoint" old
fi
if [[ $only != smolvlm && $only != old ]]; then
  real=${LORAPRESS_REAL:-$out/checkpoint}
  [[ -n ${LORAPRESS_REAL:-} ]] || checkpoint checkpoint 135m
  press "$root/models/demo" demo
  press "$real" real
fi

rm -rf "$site"
mkdir -p "$site/models" "$site/stock" "$site/images"
cp -al "${models[@]}" "$site/models/"
node "$root/web/tools/bundle.mjs" "$site/bundle" test/page/internals.ts
cp -a "$root/bench/web/page/." "$site/"
if [[ $only == guide ]]; then # the same folders natively
  for model in old real; do
    "$program" bench "$out/$model" --json >"$out/native-$model.json"
  done
fi
cp "$v4/dist/transformers.min.js" \
  "$v4/node_modules/onnxruntime-web/dist/"ort-wasm-simd-threaded.asyncify.* \
  "$site/stock/"
node "$root/bench/web/images.mjs" "$root/models/demo/images/scene-10000000.png" "$site/images"
exec node "$root/bench/web/measure.mjs" "$program" "$site" "$out" "${options[@]}"
