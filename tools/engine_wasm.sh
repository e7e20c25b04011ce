#!/usr/bin/env bash
# Compiles the engine to its four WebAssembly modules (src/engine/module/module.h names them): equal bytes from equal sources. Modules that are newer
# than the sources stay.
# usage: tools/engine_wasm.sh [FOLDER]     default: build-wasm/engine
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-build-wasm/engine}")
variants=(relaxed relaxed_threads simd128 simd128_threads)

mapfile -t inputs < <(find src/engine \( -name '*.cc' -o -name '*.h' \) ! -name '*_test*')
inputs+=("$0" tools/wasm_build.sh tools/wasm_requirements.txt)
fresh() {
  local variant file
  for variant in "${variants[@]}"; do
    for file in "${inputs[@]}"; do
      [ "$out/engine_$variant.wasm" -nt "$file" ] || return 1
    done
  done
}
if fresh; then exit 0; fi
mkdir -p build-wasm
exec 9>build-wasm/lock # two at a time wait for each other
flock 9
if fresh; then exit 0; fi
# shellcheck source=tools/wasm_build.sh
. tools/wasm_build.sh
mkdir -p "$out"

# One set of objects for all variants, but for the kernels' vectors: atomic instructions run on one thread's memory, too.
unity() { # NAME SOURCES...: one file that includes them
  printf '#include "%s"\n' "${@:2}" >"$wasm_objects/$1.cc"
}
mapfile -t operators < <(cd src && find engine -maxdepth 1 -name 'ops*.cc' | LC_ALL=C sort)
mapfile -t kernels < <(cd src && find engine/kernels -name '*.cc' ! -name '*_test*' ! -name vector128.cc ! -name relaxed_dot.cc | LC_ALL=C sort)
mapfile -t others < <(find src/engine -maxdepth 1 -name '*.cc' ! -name 'ops*' ! -name '*_test.cc' | LC_ALL=C sort)
others+=(src/engine/module/{module,host_files}.cc)
unity operators "${operators[@]}"
unity kernels "${kernels[@]}"
objects=(operators kernels)
{
  echo "wasm_compile kernels_relaxed src/engine/kernels/vector128.cc -O3 -mrelaxed-simd"
  echo "wasm_compile dot_relaxed src/engine/kernels/relaxed_dot.cc -O3 -mrelaxed-simd"
  echo "wasm_compile kernels_simd128 src/engine/kernels/vector128.cc -O3"
  echo "wasm_compile dot_simd128 src/engine/kernels/relaxed_dot.cc -O3"
  echo "wasm_compile operators $wasm_objects/operators.cc -Os"
  echo "wasm_compile kernels $wasm_objects/kernels.cc -Os"
  wasm_library_jobs
  echo "wasm_compile alone src/engine/module/module_shared.cc -Os -DLORAPRESS_SHARED=0"
  echo "wasm_compile shared src/engine/module/module_shared.cc -Os -DLORAPRESS_SHARED=1"
  for source in "${others[@]}"; do
    echo "wasm_compile $(basename "$source" .cc) $source -Os"
  done
} >"$wasm_objects/jobs"
for source in "${others[@]}"; do objects+=("$(basename "$source" .cc)"); done
wasm_run_jobs <"$wasm_objects/jobs"

for variant in "${variants[@]}"; do
  memory=(alone)
  flags=()
  case $variant in
    *_threads)
      memory=(shared)
      flags=(--import-memory --export-memory --shared-memory --max-memory=4294967296 --initial-memory=$((64 * 65536)))
      ;;
  esac
  all=("${objects[@]}" "${memory[@]}" "kernels_${variant%_threads}" "dot_${variant%_threads}")
  all=("${all[@]/#/$wasm_objects/}")
  wasm_link "$out/engine_$variant.wasm" "${flags[@]}" "${all[@]/%/.o}"
done
