// Processors with AVX-512 VNNI, in vectors of 256 bits: Intel since 2019, AMD since 2022.
#include "engine/kernels/sets.h"

#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
#include "engine/kernels/vec_set.h"

namespace lorapress::kernels {
namespace {

bool runs_here() {
  return __builtin_cpu_supports("avx512vnni") != 0 && __builtin_cpu_supports("avx512vl") != 0;
}

}  // namespace

const KernelSet* avx512_vnni_set() {
  // Attention has no products of integers, and is a tenth faster without masks and the upper registers.
  static const KernelSet kSet = [] {
    KernelSet set = vec_set("avx512_vnni", runs_here);
    set.attention = avx2_set() != nullptr ? avx2_set()->attention : set.attention;
    return set;
  }();
  return &kSet;
}

}  // namespace lorapress::kernels
#else
namespace lorapress::kernels {

const KernelSet* avx512_vnni_set() {
  return nullptr;
}

}  // namespace lorapress::kernels
#endif
