#!/usr/bin/env bash
# Compares whole captions of a built program with the best mix of other tools: torch.onnx's vision graph made 8 bit
# by ONNX Runtime's quantize_dynamic, and onnxruntime-genai's int4 decoder. Same weights, 30 tokens, processes in turns.
# usage: bench/peers/captions.sh [PROGRAM] [ROUNDS] [THREADS]      (default build/lorapress, 5, 2)
# Environment and files as bench/peers/run.sh.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
program="${1:-$root/build/lorapress}"
rounds="${2:-5}"
threads="${3:-2}"
[[ -x $program ]] || { echo "bench: no program at $program (make build)" >&2; exit 2; }
build="$(cd "$(dirname "$program")" && pwd)"
program="$build/$(basename "$program")"
work="$build/bench/peers"

. "$here/environment.sh"
genai() { # FOLDER OPTIONS
  "$python" -m onnxruntime_genai.models.builder -i "$work/merged/language_model" -o "$1" -p int4 -e cpu \
    -c "$work/cache" --extra_options exclude_embeds=true "${@:2}"
}

mkdir -p "$work"
cmake --build "$build" --target make_checkpoint >/dev/null
make_once "$work/checkpoint" "$build/bench/make_checkpoint" "$work/checkpoint.part"
make_once "$work/merged" "$program" merge "$work/checkpoint" "$work/merged.part"
make_once "$work/torch" "$python" "$here/make_torch.py" "$work/merged" "$work/torch.part"
make_once "$work/vision_uint8.onnx" "$python" "$here/quantize_peer.py" uint8 "$work/torch/vision.onnx" \
  "$work/vision_uint8.onnx.part"
make_once "$work/genai_int4" genai "$work/genai_int4.part"
make_once "$work/genai_int4_pruned" genai "$work/genai_int4_pruned.part" prune_lm_head=true
rm -rf "$work/mixed" # what is being worked on is always made again
make_once "$work/mixed" "$program" export "$work/checkpoint" "$work/mixed.part" --dtype int8,q4

pictures=("$root"/tests/goldens/images/jpeg_{420,422,progressive,rgb}.jpg)
ours="$program caption $work/mixed ${pictures[*]} --json --threads $threads --max-new-tokens 30 --min-new-tokens 30"
loop="$python $here/caption_loop.py --threads $threads"
peer="$loop --embeddings $work/torch/embeddings.npy $work/vision_uint8.onnx"
"$python" "$here/compare_captions.py" "$rounds" "$work/captions.json" \
  "LoraPress, --dtype auto=$ours --dtype auto" \
  "uint8 vision, genai int4, shared cache=$peer $work/genai_int4/model.onnx --cache shared" \
  "the same, last logits only=$peer $work/genai_int4_pruned/model.onnx --cache shared" \
  "the same, cache returned=$peer $work/genai_int4_pruned/model.onnx" \
  "LoraPress, --dtype q4=$ours --dtype q4" \
  "LoraPress's q4 graphs in the peers' loop=$loop $work/mixed/onnx/encoder_model_q4.onnx \
$work/mixed/onnx/decoder_model_merged_q4.onnx" | tee "$work/captions.md"
