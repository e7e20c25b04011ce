// Functions of one number, written once for all kernel sets. F is float or a vector of floats with the
// operations of vec_scalar.h; each step is one IEEE operation, so all sets give the same bits.
#ifndef LORAPRESS_ENGINE_KERNELS_MATH_H_
#define LORAPRESS_ENGINE_KERNELS_MATH_H_

#include "engine/kernels/kernels.h"
#include "engine/kernels/vec_scalar.h"

namespace lorapress::kernels {

// e^x is 2^n times the result, which is in 0.7..1.42; n plus the last bits of `zero` is kept in those of `shifted`. Cephes' expf.
// 1.5 * 2^23: what is added to it is rounded to an integer, half to even.
template <typename F>
static inline F exp_of_rest(F x, F& shifted, float zero = 12582912.0F) {
  const F magic(zero);
  shifted = x * F(1.44269504F) + magic;
  const F n = shifted - magic;
  const F r = (x - n * F(0.693359375F)) - n * F(-2.12194440e-4F);
  F p = F(1.9875691500e-4F) * r + F(1.3981999507e-3F);
  p = p * r + F(8.3334519073e-3F);
  p = p * r + F(4.1665795894e-2F);
  p = p * r + F(1.6666665459e-1F);
  p = p * r + F(5.0000001201e-1F);
  return (p * (r * r) + r) + F(1.0F);
}

// e^x of x <= 0 to 2 units in the last place, 0 below -87.3: what softmax needs.
template <typename F>
static inline F exp_of_negative(F x) {
  F shifted;
  const F p = exp_of_rest(max(F(-87.33654F), x), shifted);
  return keep_nan(x, select_less(x, F(-87.33654F), F(0.0F), p * power_of_two(shifted)));
}

// 1 + e^x to 2 units in the last place, infinity where e^x is. Any number but NaN where x is NaN.
template <typename F>
static inline F one_plus_exp(F x) {
  F shifted;
  const F p = exp_of_rest(min(F(89.0F), max(F(-86.0F), x)), shifted, 12582911.0F);
  const F half = add_exponent(p, shifted);  // of n - 1, so that only the sum overflows
  return (half + half) + F(1.0F);
}

// To 2e-7. The forms on both sides of 0.93 are by Norbert Juffa.
template <typename F>
static inline F erf(F x) {
  const F t = min(F(10.0F), abs(x));
  const F s = x * x;
  F tail = F(-1.72853470e-5F) * t + F(3.83197126e-4F);
  tail = tail * (t * t) + (F(-3.88396438e-3F) * t + F(2.42546219e-2F));
  tail = tail * t + F(-1.06777877e-1F);
  tail = tail * t + F(-6.34846687e-1F);
  tail = tail * t + F(-1.28717512e-1F);
  tail = tail * t - t;
  const F far = copy_sign(F(1.0F) - exp_of_negative(tail), x);
  F near = F(-5.96761703e-4F) * s + F(4.99119423e-3F);
  near = near * s + F(-2.67681349e-2F);
  near = near * s + F(1.12819925e-1F);
  near = near * s + F(-3.76125336e-1F);
  near = near * s + F(1.28379166e-1F);
  near = near * x + x;
  return keep_nan(x, select_less(F(0.927734375F), t, far, near));
}

// To 2e-7. Cephes' tanhf.
template <typename F>
static inline F tanh(F x) {
  const F t = min(F(20.0F), abs(x));
  const F s = x * x;
  const F far = copy_sign(F(1.0F) - F(2.0F) / one_plus_exp(t + t), x);
  F near = F(-5.70498872745e-3F) * s + F(2.06390887954e-2F);
  near = near * s + F(-5.37397155531e-2F);
  near = near * s + F(1.33314422036e-1F);
  near = near * s + F(-3.33332819422e-1F);
  near = near * (s * x) + x;
  return keep_nan(x, select_less(F(0.625F), t, far, near));
}

template <typename F>
static inline F sigmoid(F x) {
  return keep_nan(x, F(1.0F) / one_plus_exp(F(0.0F) - x));
}

// x / (1 + e^(-factor x)): SiLU with factor 1, QuickGELU with 1.702.
template <typename F>
static inline F swish(F x, F factor) {
  return x / one_plus_exp((F(0.0F) - factor) * x);
}

template <typename F>
static inline F gelu_erf(F x) {
  return (F(0.5F) * x) * (F(1.0F) + erf(x * F(0.70710678F)));
}

// x / 2 (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3) is x / (1 + e^(-2 u)).
template <typename F>
static inline F gelu_tanh(F x) {
  return x / one_plus_exp(x * (F(-1.59576912F) + F(-0.0713548163F) * (x * x)));
}

template <typename F>
static inline F apply(Activation activation, F x) {
  switch (activation) {
    case Activation::kGeluErf:
      return gelu_erf(x);
    case Activation::kGeluTanh:
      return gelu_tanh(x);
    case Activation::kQuickGelu:
      return swish(x, F(1.702F));
    case Activation::kSilu:
      return swish(x, F(1.0F));
    case Activation::kRelu:
      return max(F(0.0F), x);
    case Activation::kTanh:
      return tanh(x);
    case Activation::kSigmoid:
      break;
  }
  return sigmoid(x);
}

// y is the product with its bias, `other` the second operand of those epilogues that have one.
template <typename F>
static inline F apply(Epilogue epilogue, F y, F other) {
  switch (epilogue) {
    case Epilogue::kNone:
      return y;
    case Epilogue::kAdd:
      return y + other;
    case Epilogue::kSiluGate:
      return swish(other, F(1.0F)) * y;
    case Epilogue::kMultiply:
      return other * y;
    case Epilogue::kGeluErf:
      return gelu_erf(y);
    case Epilogue::kGeluTanh:
      return gelu_tanh(y);
    case Epilogue::kQuickGelu:
      return swish(y, F(1.702F));
    case Epilogue::kSilu:
      return swish(y, F(1.0F));
    case Epilogue::kRelu:
      break;
  }
  return max(F(0.0F), y);
}

// Sums of rows have eight parts: part i adds the elements i, i + 8, i + 16, ... in order; then parts i
// and i + 4 are added, then i and i + 2, then the last two.
static inline float ordered_sum(const float* parts) {
  const float a = parts[0] + parts[4];
  const float b = parts[1] + parts[5];
  const float c = parts[2] + parts[6];
  const float d = parts[3] + parts[7];
  return (a + c) + (b + d);
}

// The float that 16 bits stand for. Infinities and NaN, which no weight has, become finite numbers
// above 65504.
static inline float half_to_float(uint16_t half) {
  const uint32_t magnitude = (half & 0x7FFFU) << 13U;
  const float value = __builtin_bit_cast(float, magnitude) * 0x1p112F;
  const uint32_t sign = (half & 0x8000U) << 16U;
  return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, value) | sign);
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_MATH_H_
