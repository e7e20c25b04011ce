// The operations of math.h for one float: what a lane of every vector does.
#ifndef LORAPRESS_ENGINE_KERNELS_VEC_SCALAR_H_
#define LORAPRESS_ENGINE_KERNELS_VEC_SCALAR_H_

#include <cstdint>

namespace lorapress::kernels {

// As maxps: b where one of them is NaN.
static inline float max(float a, float b) {
  return a > b ? a : b;
}
static inline float min(float a, float b) {
  return a < b ? a : b;
}
static inline uint32_t bits(float value) {
  return __builtin_bit_cast(uint32_t, value);
}
static inline float from_bits(uint32_t value) {
  return __builtin_bit_cast(float, value);
}
static inline float abs(float value) {
  return from_bits(bits(value) & 0x7FFFFFFFU);
}
static inline float copy_sign(float magnitude, float sign) {
  return from_bits((bits(magnitude) & 0x7FFFFFFFU) | (bits(sign) & 0x80000000U));
}
// less < than ? yes : no
static inline float select_less(float less, float than, float yes, float no) {
  return less < than ? yes : no;
}
// `value`, or x where x is NaN: compilers and engines differ in what max and min make of one.
static inline float keep_nan(float x, float value) {
  return x == x ? value : x;
}
// 2^n, where `shifted` is n + 1.5 * 2^23 and -126 <= n <= 0.
static inline float power_of_two(float shifted) {
  return from_bits((bits(shifted) - 0x4B400000U + 127U) << 23U);
}
// value * 2^n, exactly, where that is a normal number and the last bits of `shifted` are n. (1.5 * 2^23 has no last bits.)
static inline float add_exponent(float value, float shifted) {
  return from_bits(bits(value) + (bits(shifted) << 23U));
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_VEC_SCALAR_H_
