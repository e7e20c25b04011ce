// Sixteen floats, as math.h wants them: what functions of single numbers compute at once in vectors of 512 bits.
#ifndef LORAPRESS_ENGINE_KERNELS_ISA512_H_
#define LORAPRESS_ENGINE_KERNELS_ISA512_H_

#include "engine/kernels/isa.h"

namespace lorapress::kernels {

struct F16 {
  Floats v;
  F16() = default;
  explicit F16(Floats value) : v(value) {}
  explicit F16(float value) : v(broadcast(value)) {}
};
static inline F16 operator+(F16 a, F16 b) {
  return F16(a.v + b.v);
}
static inline F16 operator-(F16 a, F16 b) {
  return F16(a.v - b.v);
}
static inline F16 operator*(F16 a, F16 b) {
  return F16(a.v * b.v);
}
static inline F16 operator/(F16 a, F16 b) {
  return F16(a.v / b.v);
}
inline constexpr __mmask16 kAll = 0xFFFF;  // gcc 12 warns of its own header where there is no mask
static inline F16 max(F16 a, F16 b) {
  return F16(reinterpret_cast<Floats>(
      _mm512_maskz_max_ps(kAll, reinterpret_cast<__m512>(a.v), reinterpret_cast<__m512>(b.v))));
}
static inline F16 min(F16 a, F16 b) {
  return F16(reinterpret_cast<Floats>(
      _mm512_maskz_min_ps(kAll, reinterpret_cast<__m512>(a.v), reinterpret_cast<__m512>(b.v))));
}
static inline Words bits(F16 value) {
  return reinterpret_cast<Words>(value.v);
}
static inline F16 from_bits(Words value) {
  return F16(reinterpret_cast<Floats>(value));
}
static inline F16 abs(F16 value) {
  return from_bits(bits(value) & 0x7FFFFFFFU);
}
static inline F16 copy_sign(F16 magnitude, F16 sign) {
  return from_bits((bits(magnitude) & 0x7FFFFFFFU) | (bits(sign) & 0x80000000U));
}
static inline F16 select_less(F16 less, F16 than, F16 yes, F16 no) {
  return F16(less.v < than.v ? yes.v : no.v);
}
static inline F16 keep_nan(F16 x, F16 value) {
  return F16(x.v == x.v ? value.v : x.v);
}
static inline F16 power_of_two(F16 shifted) {
  return from_bits((bits(shifted) - 0x4B400000U + 127U) << 23U);
}
static inline F16 add_exponent(F16 value, F16 shifted) {
  return from_bits(bits(value) + (bits(shifted) << 23U));
}

// The same names as in isa.h, of more floats.
using MathFloats = F16;
inline constexpr int64_t kMathLanes = 16;
static inline F16 load_math(const float* from) {
  return F16(load<Floats>(from));
}
static inline void store_math(float* to, F16 value) {
  store(to, value.v);
}
static inline F8 lower_half(F16 value) {
  return F8(__builtin_shufflevector(value.v, value.v, 0, 1, 2, 3, 4, 5, 6, 7));
}
static inline F8 upper_half(F16 value) {
  return F8(__builtin_shufflevector(value.v, value.v, 8, 9, 10, 11, 12, 13, 14, 15));
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_ISA512_H_
