// Processors with AVX-VNNI and without AVX-512: Intel since 2021.
#include "engine/kernels/sets.h"

#if defined(__AVXVNNI__)
#include "engine/kernels/vec_set.h"

namespace lorapress::kernels {
namespace {

bool runs_here() {
  return __builtin_cpu_supports("avxvnni") != 0;
}

}  // namespace

const KernelSet* avx_vnni_set() {
  static constexpr KernelSet kSet = vec_set("avx_vnni", runs_here);
  return &kSet;
}

}  // namespace lorapress::kernels
#else
namespace lorapress::kernels {

const KernelSet* avx_vnni_set() {
  return nullptr;
}

}  // namespace lorapress::kernels
#endif
