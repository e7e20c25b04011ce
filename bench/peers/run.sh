#!/usr/bin/env bash
# Compares the graphs of a built program with those of onnxruntime-genai's builder and torch.onnx: same weights,
# same Python loop over plain ONNX Runtime, processes in turns. Not part of `make bench`: it needs torch.
# usage: bench/peers/run.sh [PROGRAM] [ROUNDS]      (default build/lorapress, 5)
# Uses the training environment (train/setup.sh) and .venv-peers beside it; graphs are kept in bench/peers beside
# PROGRAM, remove that folder to make them again. Needs 6 GB of disk there.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
program="${1:-$root/build/lorapress}"
rounds="${2:-5}"
[[ -x $program ]] || { echo "bench: no program at $program (make build)" >&2; exit 2; }
build="$(cd "$(dirname "$program")" && pwd)"
program="$build/$(basename "$program")"
work="$build/bench/peers"

. "$here/environment.sh"
genai() { # FOLDER OPTIONS
  "$python" -m onnxruntime_genai.models.builder -i "$work/merged/language_model" -o "$1" -p fp32 -e cpu \
    -c "$work/cache" --extra_options exclude_embeds=true "${@:2}"
}

mkdir -p "$work"
cmake --build "$build" --target make_checkpoint >/dev/null
make_once "$work/checkpoint" "$build/bench/make_checkpoint" "$work/checkpoint.part"
make_once "$work/merged" "$program" merge "$work/checkpoint" "$work/merged.part"
make_once "$work/torch" "$python" "$here/make_torch.py" "$work/merged" "$work/torch.part"
make_once "$work/genai" genai "$work/genai.part"
make_once "$work/genai_pruned" genai "$work/genai_pruned.part" prune_lm_head=true
rm -rf "$work/ours" "$work/standard" # what is being worked on is always made again
make_once "$work/ours" "$program" export "$work/checkpoint" "$work/ours.part"
make_once "$work/standard" "$program" export "$work/checkpoint" "$work/standard.part" --ops standard

table="$work/torch/embeddings.npy"
"$python" "$here/compare.py" "$rounds" "$work/latest.json" \
  "lorapress=decoder:$work/ours/onnx/decoder_model_merged.onnx" \
  "genai, last logits=decoder:$work/genai_pruned/model.onnx:$table" \
  "genai=decoder:$work/genai/model.onnx:$table" \
  "torch.onnx=decoder:$work/torch/decoder.onnx:$table" \
  "lorapress --ops standard=decoder:$work/standard/onnx/decoder_model_merged.onnx" \
  "lorapress encoder=encoder:$work/ours/onnx/encoder_model.onnx" \
  "torch.onnx encoder=encoder:$work/torch/vision.onnx" \
  "lorapress encoder --ops standard=encoder:$work/standard/onnx/encoder_model.onnx" | tee "$work/latest.md"
