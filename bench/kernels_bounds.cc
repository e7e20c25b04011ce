// Vectors of 256 bits: AVX2, and AVX-512 VNNI for kDot8; of 512 bits; tiles of AMX.
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

// Sums in registers 16 to 31, integer sums of blocks in 0 to 9, products in 10; what is multiplied is 0. Of one block each.
// clang-format off
#define LORAPRESS_ADD(v, sum) "vmulps %%" v "11, %%" v "11, %%" v "10\n" "vaddps %%" v "10, %%" v sum ", %%" v sum "\n"
// A block: what begins the ten integer sums, eight products of each in turns, what ends them.
#define LORAPRESS_BEGIN(v, integers) "vmovdqa64 %%" v "11, %%" v integers "\n"
#define LORAPRESS_END(v, integers, sum) \
  "vcvtdq2ps %%" v integers ", %%" v "10\n" "vmulps %%" v "11, %%" v "10, %%" v "10\n" \
  "vmulps %%" v "11, %%" v "10, %%" v "10\n" "vaddps %%" v "10, %%" v sum ", %%" v sum "\n"
#define LORAPRESS_OF_SIXTEEN(of, v) \
  of(v, "16") of(v, "17") of(v, "18") of(v, "19") of(v, "20") of(v, "21") of(v, "22") of(v, "23") \
  of(v, "24") of(v, "25") of(v, "26") of(v, "27") of(v, "28") of(v, "29") of(v, "30") of(v, "31")
#define LORAPRESS_DOT_OF(v, sum) "vpdpbusd %%" v "11, %%" v "11, %%" v sum "\n"
#define LORAPRESS_BLOCKS(v) \
  LORAPRESS_BEGIN(v, "0") LORAPRESS_BEGIN(v, "1") LORAPRESS_BEGIN(v, "2") LORAPRESS_BEGIN(v, "3") LORAPRESS_BEGIN(v, "4") \
  LORAPRESS_BEGIN(v, "5") LORAPRESS_BEGIN(v, "6") LORAPRESS_BEGIN(v, "7") LORAPRESS_BEGIN(v, "8") LORAPRESS_BEGIN(v, "9") \
  ".rept 8\n" LORAPRESS_DOT_OF(v, "0") LORAPRESS_DOT_OF(v, "1") LORAPRESS_DOT_OF(v, "2") LORAPRESS_DOT_OF(v, "3") \
  LORAPRESS_DOT_OF(v, "4") LORAPRESS_DOT_OF(v, "5") LORAPRESS_DOT_OF(v, "6") LORAPRESS_DOT_OF(v, "7") \
  LORAPRESS_DOT_OF(v, "8") LORAPRESS_DOT_OF(v, "9") ".endr\n" \
  LORAPRESS_END(v, "0", "16") LORAPRESS_END(v, "1", "17") LORAPRESS_END(v, "2", "18") LORAPRESS_END(v, "3", "19") \
  LORAPRESS_END(v, "4", "20") LORAPRESS_END(v, "5", "21") LORAPRESS_END(v, "6", "22") LORAPRESS_END(v, "7", "23") \
  LORAPRESS_END(v, "8", "24") LORAPRESS_END(v, "9", "25")
// clang-format on
#define LORAPRESS_CLOBBERED                                                                \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

constexpr int64_t kProducts = 80;  // vectors of a call of LORAPRESS_ROUNDS
int64_t rounds(int64_t macs_of_vector) {
  return static_cast<int64_t>(kRegisterMacs) / (macs_of_vector * kProducts);
}

// Sums of 16 rows and 16 outputs in each of the tiles 0 to 3; rows in 4 and 5, weights in 6 and 7, as kernels have them.
__attribute__((target("amx-tile,amx-int8"))) void multiply_tiles() {
  alignas(64) struct {
    uint8_t palette = 1;
    uint8_t reserved[15] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  asm volatile("" : : "m"(config));
  _tile_loadconfig(&config);
  constexpr int64_t kMacs = int64_t{4} * 16 * 16 * 64;
  for (int64_t i = 0; i < static_cast<int64_t>(kRegisterMacs) / kMacs; ++i) {
    _tile_dpbsud(0, 4, 6);
    _tile_dpbsud(1, 4, 7);
    _tile_dpbsud(2, 5, 6);
    _tile_dpbsud(3, 5, 7);
  }
  _tile_release();
}

}  // namespace

__attribute__((target("avx2"))) void multiply_registers(Bound bound) {
  const __m256i ones = _mm256_set1_epi16(1);
  const bool floats = bound == Bound::kFloats;
  const __m256i w = floats ? _mm256_castps_si256(_mm256_set1_ps(0.5F)) : _mm256_set1_epi8(3);
  const __m256i x = floats ? w : _mm256_set1_epi8(1);
  asm volatile("vzeroall" : : : LORAPRESS_CLOBBERED);  // no slow numbers in the sums
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
    case Bound::kBlocks4:
      for (int64_t i = 0; i < rounds(32); ++i) {
        asm volatile(LORAPRESS_BLOCKS("ymm") : : : LORAPRESS_CLOBBERED);
      }
      return;
    case Bound::kBlocks4Wide:
      for (int64_t i = 0; i < rounds(64); ++i) {
        asm volatile(LORAPRESS_BLOCKS("zmm") : : : LORAPRESS_CLOBBERED);
      }
      return;
    case Bound::kDot8Wide:
      for (int64_t i = 0; i < rounds(64); ++i) {
        asm volatile(".rept 5\n" LORAPRESS_OF_SIXTEEN(LORAPRESS_DOT_OF, "zmm") ".endr\n" : :);
      }
      return;
    case Bound::kFloatsWide:
      for (int64_t i = 0; i < rounds(16); ++i) {
        asm volatile(".rept 5\n" LORAPRESS_OF_SIXTEEN(LORAPRESS_ADD, "zmm") ".endr\n"
                     :
                     :
                     : LORAPRESS_CLOBBERED);
      }
      return;
    case Bound::kTiles8:
      multiply_tiles();
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
