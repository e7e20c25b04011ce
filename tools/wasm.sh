#!/usr/bin/env bash
# Compiles C++ to one WebAssembly module: call _initialize first; no exceptions, no files, no clock, and of the C and C++ libraries what
# src/engine/module/wasm_memory.cc has.
# usage: tools/wasm.sh relaxed|simd128 OUT.wasm SOURCE.cc...   sources are relative to the project's root; `src/` is on the include path
set -euo pipefail
[ $# -ge 3 ] || { sed -n '4s/^# //p' "$0" >&2; exit 2; }
variant=$1 out=$(realpath -m "$2")
shift 2
cd "$(dirname "$0")/.."

case $variant in
  relaxed) vectors=-mrelaxed-simd ;;
  simd128) vectors= ;;
  *) echo "wasm: $variant is neither relaxed nor simd128" >&2; exit 2 ;;
esac
# shellcheck source=tools/wasm_build.sh
. tools/wasm_build.sh
mkdir -p "$(dirname "$out")"
objects=()
{
  wasm_library_jobs
  for source in "$@"; do
    echo "wasm_compile single_$(basename "$source" .cc) $source -O3 $vectors"
  done
} >"$wasm_objects/jobs"
for source in "$@"; do objects+=("$wasm_objects/single_$(basename "$source" .cc).o"); done
wasm_run_jobs <"$wasm_objects/jobs"
wasm_link "$out" "${objects[@]}"
