#!/usr/bin/env bash
# The engine's kernel tests for aarch64, compiled by the compiler of wheels and run under qemu-user: each set of kernels against scalar code, and
# their bits against those of x86-64. `neon` runs on a Cortex-A53, which has no product of 8-bit integers; `neon_i8mm` on a processor that has one.
# usage: packaging/test_kernels.sh [GTEST_OPTION...]   needs qemu-user-static, libc6-arm64-cross and libgtest-dev
set -euo pipefail
cd "$(dirname "$0")/.."
target=linux-aarch64 googletest=/usr/src/googletest/googletest
PYTHONPATH=packaging python3 -c "import sys, libraries, targets; libraries.Tools(targets.TARGETS[sys.argv[1]])" "$target" # writes bin/c++
export ZIG_GLOBAL_CACHE_DIR=$PWD/build-wheels/zig-cache ZIG_LOCAL_CACHE_DIR=$PWD/build-wheels/zig-cache

common=build-wheels/$target/kernel_tests

compile() { # SOURCE OBJECT PROCESSOR
  "build-wheels/$target/bin/c++" -mcpu="$3" -std=c++20 -O2 -DNDEBUG -ffp-contract=off -fno-sanitize=undefined -w -Isrc -I"$googletest" \
    -I"$googletest/include" -c "$1" -o "$2"
}
mkdir -p "$common"
sources=(src/engine/kernels/*.cc "$googletest"/src/gtest-all.cc "$googletest"/src/gtest_main.cc)
shared=()
for source in "${sources[@]}"; do
  case $source in */vector128.cc | */kernel_sets_test.cc) continue ;; esac # these two know the set
  shared+=("$common/$(basename "$source" .cc).o")
  compile "$source" "${shared[-1]}" generic
done

run() { # SET PROCESSOR_OF_THE_COMPILER PROCESSOR_OF_QEMU [GTEST_OPTION...]
  local own=("$common/$1.o" "$common/$1.test.o")
  compile src/engine/kernels/vector128.cc "${own[0]}" "$2"
  compile src/engine/kernels/kernel_sets_test.cc "${own[1]}" "$2"
  "build-wheels/$target/bin/c++" "${own[@]}" "${shared[@]}" -o "$common/$1" -lpthread
  qemu-aarch64-static -cpu "$3" -L /usr/aarch64-linux-gnu "$common/$1" --gtest_brief=1 "${@:4}"
  echo "test_kernels: $1 passed"
}
run neon generic cortex-a53 "$@"
run neon_i8mm generic+i8mm max "$@"
