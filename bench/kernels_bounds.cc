// Vectors of 256 bits natively (AVX2; AVX-512 VNNI for kDot8), written with empty assembly that keeps the compiler
// from simplifying the loops.
#include "kernels_bounds.h"

#include <cstdint>
#include <immintrin.h>

namespace {

constexpr int kSums = 12;  // more than the longest latency needs

// One product in assembly, so that equal ones are not computed once.
#define LORAPRESS_PRODUCT(instruction) \
  asm volatile(instruction " %2, %1, %0" : "=x"(product) : "x"(w), "x"(x))

template <Bound Kind>
__attribute__((target("avx2"))) void loop(int64_t macs_of_vector, __m256i w, __m256i x) {
  __m256i sums[kSums];
  for (auto& sum : sums) {
    sum = _mm256_setzero_si256();
  }
  const __m256i ones = _mm256_set1_epi16(1);
  const int64_t rounds = static_cast<int64_t>(kRegisterMacs) / (macs_of_vector * kSums);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      __m256i product;
      if constexpr (Kind == Bound::kFloats) {
        LORAPRESS_PRODUCT("vmulps");
        sum = _mm256_castps_si256(
            _mm256_add_ps(_mm256_castsi256_ps(sum), _mm256_castsi256_ps(product)));
      } else if constexpr (Kind == Bound::kPairs16) {
        LORAPRESS_PRODUCT("vpmaddwd");
        sum = _mm256_add_epi32(sum, product);
      } else {
        LORAPRESS_PRODUCT("vpmaddubsw");
        sum = Kind == Bound::kPairs8 ? _mm256_add_epi16(sum, product)
                                     : _mm256_add_epi32(sum, _mm256_madd_epi16(product, ones));
      }
    }
  }
  for (auto& sum : sums) {
    asm volatile("" : "+x"(sum));
  }
}

void dot8() {
  for (int64_t i = 0; i < static_cast<int64_t>(kRegisterMacs) / (32 * 12); ++i) {
    asm volatile(
        "{vex} vpxor %%ymm0, %%ymm0, %%ymm0\n"
        "vpdpbusd %%ymm0, %%ymm0, %%ymm16\nvpdpbusd %%ymm0, %%ymm0, %%ymm17\n"
        "vpdpbusd %%ymm0, %%ymm0, %%ymm18\nvpdpbusd %%ymm0, %%ymm0, %%ymm19\n"
        "vpdpbusd %%ymm0, %%ymm0, %%ymm20\nvpdpbusd %%ymm0, %%ymm0, %%ymm21\n"
        "vpdpbusd %%ymm0, %%ymm0, %%ymm22\nvpdpbusd %%ymm0, %%ymm0, %%ymm23\n"
        "vpdpbusd %%ymm0, %%ymm0, %%ymm24\nvpdpbusd %%ymm0, %%ymm0, %%ymm25\n"
        "vpdpbusd %%ymm0, %%ymm0, %%ymm26\nvpdpbusd %%ymm0, %%ymm0, %%ymm27\n"
        :
        :
        : "xmm0");
  }
}

}  // namespace

__attribute__((target("avx2"))) void multiply_registers(Bound bound) {
  const __m256i w = _mm256_set1_epi8(3);
  const __m256i x = _mm256_set1_epi8(1);
  switch (bound) {
    case Bound::kPairs8:
      return loop<Bound::kPairs8>(32, w, x);
    case Bound::kPairs8Widened:
      return loop<Bound::kPairs8Widened>(32, w, x);
    case Bound::kPairs16:
      return loop<Bound::kPairs16>(16, w, x);
    case Bound::kDot8:
      return dot8();
    case Bound::kFloats: {
      const __m256i half = _mm256_castps_si256(_mm256_set1_ps(0.5F));
      return loop<Bound::kFloats>(8, half, half);
    }
  }
}

__attribute__((target("avx2"))) void read_bytes(const std::byte* bytes, size_t size) {
  const size_t part = size / 4 / 64 * 64;
  __m256i sums[4] = {_mm256_setzero_si256(),
                     _mm256_setzero_si256(),
                     _mm256_setzero_si256(),
                     _mm256_setzero_si256()};
  for (size_t i = 0; i < part; i += 64) {
    for (size_t stream = 0; stream < 4; ++stream) {
      const std::byte* at = bytes + (stream * part) + i;
      sums[stream] =
          _mm256_xor_si256(sums[stream], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
      sums[stream] = _mm256_xor_si256(
          sums[stream], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 32)));
    }
  }
  for (auto& sum : sums) {
    asm volatile("" : "+x"(sum));
  }
}
