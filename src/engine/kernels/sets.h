// The kernel sets of this build: each is one file, compiled for its processors.
#ifndef LORAPRESS_ENGINE_KERNELS_SETS_H_
#define LORAPRESS_ENGINE_KERNELS_SETS_H_

#include "engine/kernels/kernels.h"

namespace lorapress::kernels {

const KernelSet& scalar_set();
// Null where this build cannot have the set.
const KernelSet* vector128_set();
const KernelSet* relaxed_dot_set();  // needs the other of relaxed SIMD
const KernelSet* avx2_set();
const KernelSet* avx_vnni_set();
const KernelSet* avx512_vnni_set();
const KernelSet* avx512_wide_set();
const KernelSet* amx_int8_set();

// Kernels of the scalar set in scalar_linear.cc.
void scalar_quantize(
    const float* x, int64_t x_stride, const QuantizedRows& rows, int64_t first, int64_t last);
void scalar_run_linear(const LinearRun& run);
void scalar_gather(
    const PackedLinear& table, const int64_t* ids, int64_t count, float* y, int64_t y_stride);

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_SETS_H_
