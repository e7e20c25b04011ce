#!/usr/bin/env bash
# Compares `lorapress quantize` with ONNX Runtime's Python tools (quantize_dynamic with and without
# quant_pre_process, float16, MatMulNBits) on graphs that torch.onnx made: same files, processes in turns.
# usage: bench/peers/quantize.sh [PROGRAM] [ROUNDS]      (default build/lorapress, 3)
# Environment and files as bench/peers/run.sh.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
program="${1:-$root/build/lorapress}"
rounds="${2:-3}"
[[ -x $program ]] || { echo "bench: no program at $program (make build)" >&2; exit 2; }
build="$(cd "$(dirname "$program")" && pwd)"
program="$build/$(basename "$program")"
work="$build/bench/peers"

. "$here/environment.sh"
mkdir -p "$work"
cmake --build "$build" --target make_checkpoint >/dev/null
make_once "$work/checkpoint" "$build/bench/make_checkpoint" "$work/checkpoint.part"
make_once "$work/merged" "$program" merge "$work/checkpoint" "$work/merged.part"
make_once "$work/torch" "$python" "$here/make_torch.py" "$work/merged" "$work/torch.part"
"$python" "$here/quantize.py" "$program" "$rounds" "$work/quantize.json" \
  "$work/torch/vision.onnx" "$work/torch/decoder.onnx" | tee "$work/quantize.md"
