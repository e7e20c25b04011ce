# For tools/wasm.sh and tools/engine_wasm.sh, which source this in the project's root: C++ to WebAssembly with a pinned compiler, without paths of this
# machine and without its C and C++ libraries. What code calls of these is src/engine/module/wasm_memory.cc, three
# files of the C++ library and the compiler's own routines: the libraries' own builds take minutes of processor time.
# shellcheck shell=bash
wasm_objects=$PWD/build-wasm/objects
tools/python_env.sh .venv-wasm tools/wasm_requirements.txt
mkdir -p "$wasm_objects"
export ZIG_GLOBAL_CACHE_DIR=$PWD/build-wasm/cache ZIG_LOCAL_CACHE_DIR=$PWD/build-wasm/cache
zig() { .venv-wasm/bin/python -m ziglang "$@"; }

wasm_flags=(-target wasm32-wasi -std=c++23 -msimd128 -matomics -mbulk-memory -fno-exceptions -fno-rtti -fno-threadsafe-statics
  -fvisibility=hidden -ffunction-sections -ffp-contract=off "-ffile-prefix-map=$PWD=." -Wall -Wextra -Isrc)
wasm_compile() { # OBJECT SOURCE FLAGS...
  zig c++ "${wasm_flags[@]}" -c "$2" -o "$wasm_objects/$1.o" "${@:3}"
}
wasm_library=(library_string library_memory library_algorithm memory)
wasm_library_jobs() {
  local sources file
  sources=$(.venv-wasm/bin/python -c 'import pathlib, ziglang; print(pathlib.Path(ziglang.__file__).parent / "lib/libcxx/src")')
  for file in string memory algorithm; do
    echo "wasm_compile library_$file $sources/$file.cpp -Os -Wno-unused-parameter -D_LIBCPP_BUILDING_LIBRARY -I$sources"
  done
  echo "wasm_compile memory src/engine/module/wasm_memory.cc -O2"
}
# Runs lines of standard input, a few at a time.
wasm_run_jobs() {
  local job running=()
  while read -r job; do
    $job </dev/null &
    running+=($!)
    if [ ${#running[@]} -ge "$(nproc)" ]; then
      wait "${running[0]}"
      running=("${running[@]:1}")
    fi
  done
  for job in "${running[@]}"; do wait "$job"; done
}
wasm_link() { # OUT ARGUMENTS and OBJECTS...
  local library=("${wasm_library[@]/#/$wasm_objects/}")
  zig build-exe -target wasm32-freestanding -mcpu=generic+atomics+bulk_memory+simd128+nontrapping_fptoint+sign_ext -fno-entry \
    -OReleaseSmall "$([ -n "${LORAPRESS_WASM_NAMES:-}" ] && echo -fno-strip || echo -fstrip)" -fcompiler-rt --stack 262144 --export=__stack_pointer "${@:2}" \
    "${library[@]/%/.o}" -femit-bin="$1"
}
