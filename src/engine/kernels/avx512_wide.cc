// Processors with AVX-512 VNNI, in vectors of 512 bits: Intel since 2020, AMD since 2022. Those of 2019 and 2020 without VBMI2
// (Cascade Lake, Cooper Lake) lower their clock for such vectors; they have the set of 256 bits.
#include "engine/kernels/sets.h"

#if defined(__AVX512VNNI__) && defined(__AVX512VL__) && defined(__AVX512BW__)
#define LORAPRESS_VECTORS512
#include "engine/kernels/vec_set.h"
#include "engine/kernels/vec_wide.h"

namespace lorapress::kernels {
namespace {

bool runs_here() {
  return __builtin_cpu_supports("avx512vnni") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
         __builtin_cpu_supports("avx512vbmi2") != 0;
}

}  // namespace

const KernelSet* avx512_wide_set() {
  static const KernelSet kSet = [] {
    KernelSet set = vec_set("avx512_wide", runs_here);
    set.run_linear = wide_run_linear;
    return set;
  }();
  return &kSet;
}

}  // namespace lorapress::kernels
#else
namespace lorapress::kernels {

const KernelSet* avx512_wide_set() {
  return nullptr;
}

}  // namespace lorapress::kernels
#endif
