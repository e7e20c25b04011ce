#!/usr/bin/env bash
# The engine as WebAssembly, compiled from source, in Chromium: its kernels bit by bit against scalar, and whole models of folders
# that the program writes. (Node's relaxed dot products of 32 bits are wrong in some versions; what pages have is what is tested.)
# usage: tests/wasm/run.sh [PROGRAM]
set -euo pipefail
program=$(realpath "${1:-build/lorapress}")
cd "$(dirname "$0")/../.."

if ! command -v "${CHROMIUM:-chromium}" >/dev/null; then
  echo "wasm: no chromium (tools/setup.sh test; CHROMIUM names another)" >&2
  exit 1
fi
tools/npm_install.sh web
tools/engine_wasm.sh build-wasm/engine
node tests/wasm/engine.mjs "$program" "$PWD/build-wasm/engine"
mapfile -t sources < <(find src/engine/kernels -name '*.cc' ! -name '*_test.cc' | LC_ALL=C sort)
tools/wasm.sh relaxed build-wasm/kernels_relaxed.wasm tests/wasm/kernels_check.cc "${sources[@]}"
node tests/wasm/kernels.mjs relaxed build-wasm/kernels_relaxed.wasm
tools/wasm.sh simd128 build-wasm/kernels_simd128.wasm tests/wasm/kernels_check.cc "${sources[@]}"
node tests/wasm/kernels.mjs simd128 build-wasm/kernels_simd128.wasm
