// How many floats functions of single numbers compute at once: eight, sixteen in vectors of 512 bits.
#ifndef LORAPRESS_ENGINE_KERNELS_MATH_FLOATS_H_
#define LORAPRESS_ENGINE_KERNELS_MATH_FLOATS_H_

#if defined(LORAPRESS_VECTORS512)
#include "engine/kernels/isa512.h"
#else
#include "engine/kernels/isa.h"

namespace lorapress::kernels {

using MathFloats = F8;
inline constexpr int64_t kMathLanes = 8;
static inline F8 load_math(const float* from) {
  return load8(from);
}
static inline void store_math(float* to, F8 value) {
  store8(to, value);
}

}  // namespace lorapress::kernels
#endif

#endif  // LORAPRESS_ENGINE_KERNELS_MATH_FLOATS_H_
