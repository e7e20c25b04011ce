#include "base/convert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/fail.h"
#include "base/simd.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#define LORAPRESS_F16C
#endif

namespace lorapress {
namespace {

// Branch-free so that the compiler vectorises it: the magic-number method for float16 to float32
// (subnormals by a float subtraction, infinities and NaN by a second exponent shift).
inline float half_to_float(uint16_t half) {
  const uint32_t shifted = (static_cast<uint32_t>(half) & 0x7fffU) << 13;
  const uint32_t exponent = shifted & (0x7c00U << 13);
  uint32_t bits = shifted + ((127U - 15U) << 23);
  const uint32_t special = bits + ((128U - 16U) << 23);
  const float subnormal =
      std::bit_cast<float>(bits + (1U << 23)) - std::bit_cast<float>(113U << 23);
  bits = exponent == (0x7c00U << 13) ? special : bits;
  bits = exponent == 0 ? std::bit_cast<uint32_t>(subnormal) : bits;
  return std::bit_cast<float>(bits | ((static_cast<uint32_t>(half) & 0x8000U) << 16));
}

inline uint16_t float_to_half(float value) {
  const uint32_t all = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (all >> 16) & 0x8000U;
  const uint32_t bits = all & 0x7fffffffU;
  // Subnormal result: adding 0.5 lets the float unit round to the right place.
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(std::bit_cast<float>(bits) + 0.5F) - std::bit_cast<uint32_t>(0.5F);
  const uint32_t normal = (bits + 0xc8000fffU + ((bits >> 13) & 1U)) >> 13;
  // A NaN keeps its upper bits and becomes quiet, as the processors' own instruction does.
  const uint32_t nan = 0x7e00U | ((bits >> 13) & 0x3ffU);
  const uint32_t special = bits > 0x7f800000U ? nan : 0x7c00U;
  uint32_t half = bits < (113U << 23) ? subnormal : normal;
  half = bits >= (143U << 23) ? special : half;
  return static_cast<uint16_t>(half | sign);
}

inline uint16_t float_to_bfloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  const uint32_t nan = (bits >> 16) | 0x40U;
  return static_cast<uint16_t>((bits & 0x7fffffffU) > 0x7f800000U ? nan : rounded);
}

template <typename Stored>
inline Stored load(const std::byte* at) {
  Stored stored;
  std::memcpy(&stored, at, sizeof(Stored));
  return stored;
}

template <typename Stored>
inline void store(std::byte* at, Stored value) {
  std::memcpy(at, &value, sizeof(Stored));
}

LORAPRESS_SIMD void half_to_float(const std::byte* in, float* out, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    out[i] = half_to_float(load<uint16_t>(in + 2 * i));
  }
}

LORAPRESS_SIMD void bfloat_to_float(const std::byte* in, float* out, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    out[i] = std::bit_cast<float>(static_cast<uint32_t>(load<uint16_t>(in + 2 * i)) << 16);
  }
}

LORAPRESS_SIMD void float_to_half(const float* in, std::byte* out, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    store(out + 2 * i, float_to_half(in[i]));
  }
}

#ifdef LORAPRESS_F16C
// The same with the processor's conversion instruction, several times as fast.
__attribute__((target("avx,f16c"))) void float_to_half_f16c(const float* in,
                                                            std::byte* out,
                                                            size_t count) {
  constexpr size_t kStep = 8;
  size_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    const __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * i), halves);
  }
  for (; i < count; ++i) {
    store(out + 2 * i, float_to_half(in[i]));
  }
}
#endif

void floats_to_halves(const float* in, std::byte* out, size_t count) {
#ifdef LORAPRESS_F16C
  static const bool has_f16c = __builtin_cpu_supports("avx") && __builtin_cpu_supports("f16c");
  if (has_f16c) {
    float_to_half_f16c(in, out, count);
    return;
  }
#endif
  float_to_half(in, out, count);
}

LORAPRESS_SIMD void float_to_bfloat(const float* in, std::byte* out, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    store(out + 2 * i, float_to_bfloat(in[i]));
  }
}

}  // namespace

void to_float32(DType from, std::span<const std::byte> in, std::span<float> out) {
  switch (from) {
    case DType::kF32:
      std::ranges::copy(in.first(out.size_bytes()), std::as_writable_bytes(out).begin());
      return;
    case DType::kF16:
      half_to_float(in.data(), out.data(), out.size());
      return;
    case DType::kBF16:
      bfloat_to_float(in.data(), out.data(), out.size());
      return;
    case DType::kF64:
      for (size_t i = 0; i < out.size(); ++i) {
        out[i] = static_cast<float>(load<double>(in.data() + 8 * i));
      }
      return;
    default:
      fail(ErrorCode::kUnsupported, "cannot read {} values as float32", dtype_name(from));
  }
}

void from_float32(DType to, std::span<const float> in, std::span<std::byte> out) {
  switch (to) {
    case DType::kF32:
      std::ranges::copy(std::as_bytes(in), out.begin());
      return;
    case DType::kF16:
      floats_to_halves(in.data(), out.data(), in.size());
      return;
    case DType::kBF16:
      float_to_bfloat(in.data(), out.data(), in.size());
      return;
    case DType::kF64:
      for (size_t i = 0; i < in.size(); ++i) {
        store(out.data() + 8 * i, static_cast<double>(in[i]));
      }
      return;
    default:
      fail(ErrorCode::kUnsupported, "cannot write float32 values as {}", dtype_name(to));
  }
}

}  // namespace lorapress
