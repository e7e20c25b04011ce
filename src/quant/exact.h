// float32 arithmetic that every compiler and machine rounds alike, and the least scale that has a
// reciprocal.
#ifndef LORAPRESS_QUANT_EXACT_H_
#define LORAPRESS_QUANT_EXACT_H_

#include <cmath>
#include <limits>

namespace lorapress {

// 1.5 * 2^23. Adding it rounds a value of magnitude below 2^22 to an integer, ties to even; the
// integer is in the low bits of the sum, and subtracting kRounder again gives it as a float.
inline constexpr float kRounder = 12582912.0F;

// Below this a reciprocal would overflow; a block with a smaller scale becomes all zeros.
inline constexpr float kLeastScale = std::numeric_limits<float>::min();

inline float reciprocal_or_zero(float scale) {
  return std::fabs(scale) < kLeastScale ? 0.0F : 1.0F / scale;
}

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_EXACT_H_
