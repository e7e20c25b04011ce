// float16 to float32, exactly.
#ifndef LORAPRESS_ENGINE_HALF_H_
#define LORAPRESS_ENGINE_HALF_H_

#include <bit>
#include <cstdint>

namespace lorapress::engine {

inline float from_half(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000U) << 16;
  const uint32_t exponent = (half >> 10) & 31U;
  const uint32_t fraction = half & 1023U;
  if (exponent == 0) {  // zero or subnormal: fraction * 2^-24
    const float size = static_cast<float>(fraction) * 0x1p-24F;
    return sign == 0 ? size : -size;
  }
  const uint32_t wide = exponent == 31 ? 255U : exponent + 112U;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_HALF_H_
