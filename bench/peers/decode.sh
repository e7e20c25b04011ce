#!/usr/bin/env bash
# One token of a 4-bit decoder beside llama.cpp (Q4_0) and onnxruntime-genai (int4, shared cache): same shape, processes
# in turns. llama.cpp comes from npm (package.json here) with builds for every kind of x86-64 processor, of which it
# takes the best one for this machine.
# usage: bench/peers/decode.sh [PROGRAM] [ROUNDS] [THREADS]      (default build/lorapress, 5, 2)
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
"$root/tools/npm_install.sh" bench/peers
genai() { # FOLDER
  "$python" -m onnxruntime_genai.models.builder -i "$work/merged/language_model" -o "$1" -p int4 -e cpu \
    -c "$work/cache" --extra_options exclude_embeds=true prune_lm_head=true
}
gguf() { # FOLDER
  mkdir -p "$1"
  "$python" "$here/make_gguf.py" "$work/merged/language_model" "$1/q4_0.gguf" "$1/embeddings.npy"
}

mkdir -p "$work"
cmake --build "$build" --target make_checkpoint >/dev/null
make_once "$work/checkpoint" "$build/bench/make_checkpoint" "$work/checkpoint.part"
make_once "$work/merged" "$program" merge "$work/checkpoint" "$work/merged.part"
make_once "$work/gguf" gguf "$work/gguf.part"
make_once "$work/genai_int4_pruned" genai "$work/genai_int4_pruned.part"
rm -rf "$work/q4" # what is being worked on is always made again
make_once "$work/q4" "$program" export "$work/checkpoint" "$work/q4.part" --dtype q4

pictures=("$root"/tests/goldens/images/jpeg_{420,422,progressive,rgb}.jpg)
ours="$program caption $work/q4 ${pictures[*]} --json --threads $threads --max-new-tokens 30 --min-new-tokens 30"
"$python" "$here/compare_captions.py" "$rounds" "$work/decode.json" \
  "LoraPress, q4=$ours --engine native" \
  "llama.cpp, Q4_0=node $here/llama_loop.mjs $work/gguf/q4_0.gguf --threads $threads" \
  "onnxruntime-genai int4, shared cache=$python $here/caption_loop.py --threads $threads --cache shared \
--embeddings $work/gguf/embeddings.npy $work/q4/onnx/encoder_model_q4.onnx $work/genai_int4_pruned/model.onnx" \
  "LoraPress, q4, ONNX Runtime=$ours --engine ort"
