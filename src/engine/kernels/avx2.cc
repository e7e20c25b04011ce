// Processors with AVX2 and float16 conversion: Intel since 2013, AMD since 2017.
#include "engine/kernels/sets.h"

#if defined(__AVX2__) && defined(__F16C__)
#include "engine/kernels/vec_set.h"

namespace lorapress::kernels {
namespace {

bool runs_here() {
  return __builtin_cpu_supports("avx2") != 0;  // each of them converts float16
}

}  // namespace

const KernelSet* avx2_set() {
  static constexpr KernelSet kSet = vec_set("avx2", runs_here);
  return &kSet;
}

}  // namespace lorapress::kernels
#else
namespace lorapress::kernels {

const KernelSet* avx2_set() {
  return nullptr;
}

}  // namespace lorapress::kernels
#endif
