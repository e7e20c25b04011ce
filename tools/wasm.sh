#!/usr/bin/env bash
# Compiles C++ to one WebAssembly module with a pinned compiler, without paths of this machine: a reactor (call _initialize first), no exceptions.
# usage: tools/wasm.sh relaxed|simd128 OUT.wasm SOURCE.cc...   sources are relative to the project's root; `src/` is on the include path
set -euo pipefail
[ $# -ge 3 ] || { sed -n '3s/^# //p' "$0" >&2; exit 2; }
variant=$1 out=$(realpath -m "$2")
shift 2
cd "$(dirname "$0")/.."

case $variant in
  relaxed) vectors=(-msimd128 -mrelaxed-simd) ;;
  simd128) vectors=(-msimd128) ;;
  *) echo "wasm: $variant is neither relaxed nor simd128" >&2; exit 2 ;;
esac
tools/python_env.sh .venv-wasm tools/wasm_requirements.txt
mkdir -p "$(dirname "$out")"
export ZIG_GLOBAL_CACHE_DIR=$PWD/build-wasm/cache ZIG_LOCAL_CACHE_DIR=$PWD/build-wasm/cache # the first call compiles the C++ library
.venv-wasm/bin/python -m ziglang c++ -target wasm32-wasi -mexec-model=reactor -std=c++20 -O3 -s "${vectors[@]}" \
  -fno-exceptions -fno-rtti -ffp-contract=off -ffile-prefix-map="$PWD"=. -Wall -Wextra -Isrc "$@" -o "$out"
