#!/usr/bin/env bash
# The engine's kernel tests, compiled by the compiler of wheels for another processor and run under qemu-user: every instruction set against scalar code.
# usage: packaging/test_kernels.sh [TARGET [GTEST_OPTION...]]   linux-aarch64 by default; needs qemu-user-static and libgtest-dev
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-linux-aarch64}
processor=${target#linux-} out=build-wheels/$target/kernel_tests
PYTHONPATH=packaging python3 -c "import sys, libraries, targets; libraries.Tools(targets.TARGETS[sys.argv[1]])" "$target" # writes bin/c++
export ZIG_GLOBAL_CACHE_DIR=$PWD/build-wheels/zig-cache ZIG_LOCAL_CACHE_DIR=$PWD/build-wheels/zig-cache
mkdir -p "$out"
objects=()
for source in src/engine/kernels/*.cc /usr/src/googletest/googletest/src/gtest-all.cc /usr/src/googletest/googletest/src/gtest_main.cc; do
  object=$out/$(basename "$source" .cc).o
  objects+=("$object")
  "build-wheels/$target/bin/c++" -std=c++20 -O2 -DNDEBUG -ffp-contract=off -fno-sanitize=undefined -w -Isrc -I/usr/src/googletest/googletest \
    -I/usr/src/googletest/googletest/include -c "$source" -o "$object"
done
"build-wheels/$target/bin/c++" "${objects[@]}" -o "$out/kernel_tests" -lpthread
"qemu-$processor-static" -L "/usr/$processor-linux-gnu" "$out/kernel_tests" --gtest_brief=1 "${@:2}"
