// Vectors of 256 bits: AVX2, and AVX-512 VNNI for kDot8.
#include "kernels_bounds.h"

#include <cstdint>
#include <immintrin.h>

namespace {

// Ten sums in ymm0 to ymm9, more than latency needs; products in ymm10 and ymm11. Eight rounds a call.
// clang-format off
#define LORAPRESS_ONE(multiply, widen, add, sum, product) \
  multiply " %0, %1, %%ymm" product "\n" widen(product) add " %%ymm" product ", %%ymm" sum ", %%ymm" sum "\n"
#define LORAPRESS_TEN(multiply, widen, add) \
  LORAPRESS_ONE(multiply, widen, add, "0", "10") LORAPRESS_ONE(multiply, widen, add, "1", "11") \
  LORAPRESS_ONE(multiply, widen, add, "2", "10") LORAPRESS_ONE(multiply, widen, add, "3", "11") \
  LORAPRESS_ONE(multiply, widen, add, "4", "10") LORAPRESS_ONE(multiply, widen, add, "5", "11") \
  LORAPRESS_ONE(multiply, widen, add, "6", "10") LORAPRESS_ONE(multiply, widen, add, "7", "11") \
  LORAPRESS_ONE(multiply, widen, add, "8", "10") LORAPRESS_ONE(multiply, widen, add, "9", "11")
#define LORAPRESS_ROUNDS(multiply, widen, add) \
  asm volatile(".rept 8\n" LORAPRESS_TEN(multiply, widen, add) ".endr\n" \
               : : "x"(w), "x"(x), "x"(ones) \
               : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11")
// clang-format on
#define LORAPRESS_AS_IT_IS(product)
#define LORAPRESS_WIDENED(product) "vpmaddwd %2, %%ymm" product ", %%ymm" product "\n"
#define LORAPRESS_DOT(sum) "vpdpbusd %%ymm0, %%ymm0, %%ymm" sum "\n"

constexpr int64_t kProducts = 80;  // vectors of a call of LORAPRESS_ROUNDS
int64_t rounds(int64_t macs_of_vector) {
  return static_cast<int64_t>(kRegisterMacs) / (macs_of_vector * kProducts);
}

}  // namespace

__attribute__((target("avx2"))) void multiply_registers(Bound bound) {
  const __m256i ones = _mm256_set1_epi16(1);
  const bool floats = bound == Bound::kFloats;
  const __m256i w = floats ? _mm256_castps_si256(_mm256_set1_ps(0.5F)) : _mm256_set1_epi8(3);
  const __m256i x = floats ? w : _mm256_set1_epi8(1);
  asm volatile("vzeroall"
               :
               :
               : "xmm0",
                 "xmm1",
                 "xmm2",
                 "xmm3",
                 "xmm4",
                 "xmm5",
                 "xmm6",
                 "xmm7",
                 "xmm8",
                 "xmm9",
                 "xmm10",
                 "xmm11",
                 "xmm12",
                 "xmm13",
                 "xmm14",
                 "xmm15");  // no slow numbers in the sums
  switch (bound) {
    case Bound::kPairs8:
      for (int64_t i = 0; i < rounds(32); ++i) {
        LORAPRESS_ROUNDS("vpmaddubsw", LORAPRESS_AS_IT_IS, "vpaddw");
      }
      return;
    case Bound::kPairs8Widened:
      for (int64_t i = 0; i < rounds(32); ++i) {
        LORAPRESS_ROUNDS("vpmaddubsw", LORAPRESS_WIDENED, "vpaddd");
      }
      return;
    case Bound::kPairs16:
      for (int64_t i = 0; i < rounds(16); ++i) {
        LORAPRESS_ROUNDS("vpmaddwd", LORAPRESS_AS_IT_IS, "vpaddd");
      }
      return;
    case Bound::kDot8:
      for (int64_t i = 0; i < rounds(32); ++i) {
        asm volatile(".rept 8\n" LORAPRESS_DOT("16") LORAPRESS_DOT("17") LORAPRESS_DOT("18")
                         LORAPRESS_DOT("19") LORAPRESS_DOT("20") LORAPRESS_DOT("21")
                             LORAPRESS_DOT("22") LORAPRESS_DOT("23") LORAPRESS_DOT("24")
                                 LORAPRESS_DOT("25") ".endr\n"
                     :
                     : "x"(w));
      }
      return;
    case Bound::kFloats:
      for (int64_t i = 0; i < rounds(8); ++i) {
        LORAPRESS_ROUNDS("vmulps", LORAPRESS_AS_IT_IS, "vaddps");
      }
      return;
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
