// Vectors of 128 bits: SSE2, which every x86-64 processor has, NEON, SIMD128 of WebAssembly.
#include "engine/kernels/sets.h"

#if defined(__SSE2__) || defined(__ARM_NEON) || defined(__wasm_simd128__)
#include "engine/kernels/vec_set.h"

namespace lorapress::kernels {
namespace {

#if defined(__wasm_relaxed_simd__)
constexpr const char* kName = "wasm_relaxed";
#elif defined(__wasm_simd128__)
constexpr const char* kName = "wasm_simd128";
#elif defined(__ARM_FEATURE_MATMUL_INT8)
constexpr const char* kName = "neon_i8mm";
#elif defined(__ARM_NEON)
constexpr const char* kName = "neon";
#else
constexpr const char* kName = "sse2";
#endif

bool runs_here() {
  return true;
}

}  // namespace

const KernelSet* vector128_set() {
  static constexpr KernelSet kSet = vec_set(kName, runs_here);
  return &kSet;
}

}  // namespace lorapress::kernels
#else
namespace lorapress::kernels {

const KernelSet* vector128_set() {
  return nullptr;
}

}  // namespace lorapress::kernels
#endif
