#!/usr/bin/env bash
# The engine's kernels as WebAssembly, compiled from source for both kinds of vectors, in Chromium: bit by bit against scalar.
# (Node's relaxed dot products of 32 bits are wrong in some versions; what pages have is what is tested.)
# usage: tests/wasm/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v "${CHROMIUM:-chromium}" >/dev/null; then
  echo "wasm: no chromium (tools/setup.sh test; CHROMIUM names another)" >&2
  exit 1
fi
tools/npm_install.sh web
mapfile -t sources < <(find src/engine/kernels -name '*.cc' ! -name '*_test.cc' | LC_ALL=C sort)
tools/wasm.sh relaxed build-wasm/kernels_relaxed.wasm tests/wasm/kernels_check.cc "${sources[@]}"
node tests/wasm/kernels.mjs wasm_relaxed build-wasm/kernels_relaxed.wasm
tools/wasm.sh simd128 build-wasm/kernels_simd128.wasm tests/wasm/kernels_check.cc "${sources[@]}"
node tests/wasm/kernels.mjs wasm_simd128 build-wasm/kernels_simd128.wasm
