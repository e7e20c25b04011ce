// float32 arithmetic that every compiler and machine rounds alike, and what has no reciprocal.
#ifndef LORAPRESS_QUANT_EXACT_H_
#define LORAPRESS_QUANT_EXACT_H_

#include <cfloat>
#include <cmath>

namespace lorapress {

// 1.5 * 2^23. A value below 2^22 in size becomes an integer when this is added, ties to even, and
// stands in the low bits of the sum until it is subtracted again.
inline constexpr float kRounder = 12582912.0F;

// Below this a reciprocal would overflow: a block of such a scale is all zeros.
inline constexpr float kLeastScale = FLT_MIN;

inline float reciprocal_or_zero(float scale) {
  return std::fabs(scale) < kLeastScale ? 0.0F : 1.0F / scale;
}

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_EXACT_H_
