#!/usr/bin/env bash
# What `cmake --install` leaves: moved elsewhere, it serves the installed program, examples/cpp by find_package(lorapress) and the same
# source by pkg-config; both give the captions of the program and find ONNX Runtime where the library was installed.
# usage: tests/install/run.sh [PROGRAM]   PROGRAM: build/lorapress; its folder is the build that is installed
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
program=$(realpath "${1:-$root/build/lorapress}")
work=$(mktemp -d "${TMPDIR:-/tmp}/lorapress-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
fail() { echo "install: $1" >&2 && exit 1; }

cmake --install "$(dirname "$program")" --prefix "$work/written" >/dev/null
mv "$work/written" "$work/moved"
prefix=$work/moved
for file in bin/lorapress lib/liblorapress.a include/lorapress/lorapress.h lib/lorapress/libonnxruntime.so.1; do
  [ -e "$prefix/$file" ] || fail "$file is not installed"
done

# Names without a slash are looked for by rpath only: neither this build's copy of ONNX Runtime nor its sources can help.
export LORAPRESS_ORT=libonnxruntime.so.1
images=$root/models/demo/images
env -u LORAPRESS_ORT "$prefix/bin/lorapress" press "$root/models/demo" "$work/pressed" --dtype q8 --json >/dev/null
env -u LORAPRESS_ORT "$prefix/bin/lorapress" caption "$work/pressed" "$images" --jsonl - |
  python3 -c 'import json, os, sys
for row in map(json.loads, sys.stdin): print(os.path.basename(row["image"]), row["text"], sep=": ")' >"$work/expected"
[ "$(wc -l <"$work/expected")" -ge 10 ] || fail "fewer captions than images in $images"

check() { # PROGRAM NAME
  local program=$1 name=$2
  "$program" "$root/models/demo" "$work/$name" "$images" q8 >"$work/$name.txt" 2>"$work/$name.log" ||
    fail "$name ended with $?: $(cat "$work/$name.log")"
  diff -u "$work/expected" "$work/$name.txt" || fail "$name does not caption as the program does"
  ! "$program" "$work/none" "$work/other" "$images" 2>"$work/error" || fail "$name accepts a checkpoint that is not there"
  grep -q "caption_folder: .*$work/none" "$work/error" || fail "$name does not name what is missing: $(cat "$work/error")"
}

cmake -S "$root/examples/cpp" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_CXX_FLAGS="-Wall -Wextra -Werror" >"$work/log" || fail "find_package: $(cat "$work/log")"
grep -q "^lorapress_DIR:PATH=$prefix" "$work/cmake/CMakeCache.txt" || fail "find_package found another lorapress"
cmake --build "$work/cmake" >"$work/log" || fail "$(cat "$work/log")"
check "$work/cmake/caption_folder" find_package

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
version=$("$prefix/bin/lorapress" --version)
[ "lorapress $(pkg-config --modversion lorapress)" = "$version" ] || fail "lorapress.pc is not of $version"
# shellcheck disable=SC2046
"${CXX:-g++}" -std=c++20 "$root/examples/cpp/caption_folder.cc" -o "$work/by_pkg_config" $(pkg-config --cflags --libs lorapress)
check "$work/by_pkg_config" pkg_config

# A version that is not installed is refused.
sed 's/find_package(lorapress [0-9.]*/find_package(lorapress 99/' "$root/examples/cpp/CMakeLists.txt" >"$work/CMakeLists.txt"
cp "$root/examples/cpp/caption_folder.cc" "$work"
! cmake -S "$work" -B "$work/newer" -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" 2>&1 || fail "version 99 was found"
grep -q "version: ${version#lorapress }" "$work/log" || fail "the refusal of version 99 does not name the one that is there"
echo "install: the program, find_package and pkg-config give the same $(wc -l <"$work/expected") captions"
