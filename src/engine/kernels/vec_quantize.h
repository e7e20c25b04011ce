// Rows of floats as int8.
#ifndef LORAPRESS_ENGINE_KERNELS_VEC_QUANTIZE_H_
#define LORAPRESS_ENGINE_KERNELS_VEC_QUANTIZE_H_

#include "engine/kernels/isa.h"

namespace lorapress::kernels {

struct Quantizer {
  float factor;  // 0: all integers are 0
  float scale;
};

static inline Ints8 magnitude_bits(const float* x) {
  return reinterpret_cast<Ints8>(bits(load8(x)) & 0x7FFFFFFFU);
}
static inline Ints8 most(Ints8 a, Ints8 b) {
  return a > b ? a : b;
}
static inline int32_t largest_lane(Ints8 value) {
#if defined(__AVX2__)
  value = most(value, __builtin_shufflevector(value, value, 4, 5, 6, 7, 0, 1, 2, 3));
  value = most(value, __builtin_shufflevector(value, value, 2, 3, 0, 1, 6, 7, 4, 5));
  value = most(value, __builtin_shufflevector(value, value, 1, 0, 3, 2, 5, 4, 7, 6));
  return value[0];
#else
  int32_t lanes[8];
  store(lanes, value);
  int32_t largest = lanes[0];
  for (int lane = 1; lane < 8; ++lane) {
    largest = most<int32_t>(largest, lanes[lane]);
  }
  return largest;
#endif
}

// From the bits of the largest |x|, which order as integers and put NaN last.
static inline Quantizer make_quantizer(int32_t largest_bits) {
  const float largest = from_bits(static_cast<uint32_t>(largest_bits));
  if (largest_bits > 0x7F7FFFFF) {
    return {0.0F, __builtin_nanf("")};
  }
  return largest < 0x1p-100F ? Quantizer{0.0F, 0.0F}
                             : Quantizer{127.0F / largest, largest / 127.0F};
}

// Eight integers of -127..127.
static inline Ints8 to_integers(const float* x, Quantizer by) {
  const F8 rounded = (load8(x) * F8(by.factor)) + F8(kFloatBase);  // half to even, as in exp
  const auto integers = reinterpret_cast<Ints8>(bits(rounded) - static_cast<uint32_t>(kFloatBits));
  return by.factor == 0.0F ? Ints8{} : integers;
}

// Stores eight integers of a row; `step` is the distance of its groups of 4 inputs, in bytes.
static inline void store_integers(std::byte* to, int64_t step, Ints8 value, bool wide) {
  using Bytes8 = int8_t __attribute__((vector_size(8)));
  using Shorts8 = int16_t __attribute__((vector_size(16)));
  if (wide) {
    int16_t shorts[8];
    store(shorts, __builtin_convertvector(value, Shorts8));
    for (int half = 0; half < 2; ++half) {
      const int16_t* from = shorts + (4 * half);
      const int16_t ordered[4] = {from[0], from[2], from[1], from[3]};
      __builtin_memcpy(to + (half * step), ordered, 8);
    }
    return;
  }
  char bytes[8];
  store(bytes, __builtin_convertvector(value, Bytes8));
  __builtin_memcpy(to, bytes, 4);
  __builtin_memcpy(to + step, bytes + 4, 4);
}

// What quantize_row fills, of one row.
struct RowTarget {
  std::byte* values;
  int64_t step;     // bytes from 4 inputs of this row to its next 4
  float* scales;    // of blocks, `group` apart; or the row's
  int16_t* starts;  // blocks
  int32_t* totals;  // blocks
  int32_t* sum;     // rows
  int64_t group;
  bool wide;
};

static inline void store_starts(const RowTarget& to, int64_t block, Ints8 sums) {
  int32_t lanes[8];
  store(lanes, sums);
  const int32_t first = -8 * (lanes[0] + lanes[1] + lanes[4] + lanes[5]);
  const int32_t second = -8 * (lanes[2] + lanes[3] + lanes[6] + lanes[7]);
  const int64_t at = block * to.group;
  to.starts[2 * at] = static_cast<int16_t>(first);
  to.starts[(2 * at) + 1] = static_cast<int16_t>(second);
  to.totals[at] = first + second + kFloatBits;
}

// A block of 32 inputs with the row's quantizer, or with its own where `blocks`. The sum of what it returns is that of
// the integers.
static inline Ints8 quantize_block(
    const float* x, int64_t block, const RowTarget& to, bool blocks, Quantizer by) {
  if (blocks) {
    const Ints8 largest = most(most(magnitude_bits(x), magnitude_bits(x + 8)),
                               most(magnitude_bits(x + 16), magnitude_bits(x + 24)));
    by = make_quantizer(largest_lane(largest));
    to.scales[block * to.group] = by.scale;
  }
  Ints8 sums{};
  for (int64_t i = 0; i < kBlock; i += 8) {
    const Ints8 integers = to_integers(x + i, by);
    sums = sums + integers;
    store_integers(to.values + (((block * kBlock) + i) / 4 * to.step), to.step, integers, to.wide);
  }
  if (blocks) {
    store_starts(to, block, sums);
  }
  return sums;
}

#if defined(LORAPRESS_VECTORS512)
static inline Ints8 quantize_block512(
    const float* x, int64_t block, const RowTarget& to, bool blocks, Quantizer by) {
  if (to.wide) {
    return quantize_block(x, block, to, blocks, by);
  }
  if (blocks) {
    const Ints low = load<Ints>(x) & 0x7FFFFFFF;
    const Ints high = load<Ints>(x + 16) & 0x7FFFFFFF;
    const Ints larger = low > high ? low : high;
    const Ints8 largest =
        most(__builtin_shufflevector(larger, larger, 0, 1, 2, 3, 4, 5, 6, 7),
             __builtin_shufflevector(larger, larger, 8, 9, 10, 11, 12, 13, 14, 15));
    by = make_quantizer(largest_lane(largest));
    to.scales[block * to.group] = by.scale;
  }
  using Bytes16 = int8_t __attribute__((vector_size(16)));
  Bytes16 bytes[2];
  for (int half = 0; half < 2; ++half) {
    const Floats rounded =
        (load<Floats>(x + (16 * half)) * broadcast(by.factor)) + broadcast(kFloatBase);
    const auto integers = by.factor == 0.0F ? Ints{} : reinterpret_cast<Ints>(rounded) - kFloatBits;
    bytes[half] = __builtin_convertvector(integers, Bytes16);
  }
  const __m256i all =
      _mm256_set_m128i(reinterpret_cast<__m128i>(bytes[1]), reinterpret_cast<__m128i>(bytes[0]));
  std::byte* values = to.values + (block * (kBlock / 4) * to.step);
  if (to.step == 4) {
    __builtin_memcpy(values, &all, sizeof all);
  } else {
    int32_t groups[kBlock / 4];
    __builtin_memcpy(groups, &all, sizeof all);
    for (const int32_t& group : groups) {
      __builtin_memcpy(values, &group, 4);
      values += to.step;
    }
  }
  if (blocks) {  // pairs of 16 bits: inputs 0, 1 of each 4; 2, 3
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), all);
    __m128i sum = _mm_add_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
    sum = _mm_add_epi16(sum, _mm_shuffle_epi32(sum, 0x4E));
    sum = _mm_add_epi16(sum, _mm_shuffle_epi32(sum, 0xB1));
    sum = _mm_mullo_epi16(sum, _mm_set1_epi16(-8));
    const int64_t at = block * to.group;
    const int32_t starts = _mm_cvtsi128_si32(sum);
    __builtin_memcpy(to.starts + (2 * at), &starts, 4);
    to.totals[at] = _mm_cvtsi128_si32(_mm_madd_epi16(sum, _mm_set1_epi16(1))) + kFloatBits;
    return Ints8{};
  }
  return reinterpret_cast<Ints8>(
      _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), all));
}
inline constexpr auto quantize_whole = quantize_block512;
#else
inline constexpr auto quantize_whole = quantize_block;
#endif

static inline void quantize_row(const float* x, int64_t inputs, const RowTarget& to, bool blocks) {
  const int64_t whole = inputs / kBlock;
  float rest[kBlock] = {};
  for (int64_t k = whole * kBlock; k < inputs; ++k) {
    rest[k - (whole * kBlock)] = x[k];
  }
  const bool ragged = whole * kBlock < inputs;
  Quantizer by{};
  if (!blocks) {
    Ints8 largest = most(most(magnitude_bits(rest), magnitude_bits(rest + 8)),
                         most(magnitude_bits(rest + 16), magnitude_bits(rest + 24)));
    for (int64_t k = 0; k < whole * kBlock; k += 8) {
      largest = most(largest, magnitude_bits(x + k));
    }
    by = make_quantizer(largest_lane(largest));
    *to.scales = by.scale;
  }
  Ints8 sums{};
  for (int64_t block = 0; block < whole; ++block) {
    sums = sums + quantize_whole(x + (block * kBlock), block, to, blocks, by);
  }
  if (ragged) {
    sums = sums + quantize_whole(rest, whole, to, blocks, by);
  }
  if (!blocks) {
    int32_t lanes[8];
    store(lanes, sums);
    int32_t sum = 0;
    for (const int32_t lane : lanes) {
      sum += lane;
    }
    *to.sum = sum;
  }
}

static inline void vec_quantize(
    const float* x, int64_t x_stride, const QuantizedRows& rows, int64_t first, int64_t last) {
  const RowsView view = view_rows(rows);
  const bool blocks = has_blocks(rows.form);
  for (int64_t row = first; row < last; ++row) {
    const int64_t group = group_rows(row - (row % kGroup), rows.rows);
    const int64_t start = row - (row % group);
    const int64_t scale_at = blocks ? (start * view.blocks) + (row - start) : row;
    RowTarget to{};
    to.step = 4 * value_bytes(rows.form) * group;
    to.values =
        view.values + (start * view.values_row) + ((row - start) * 4 * value_bytes(rows.form));
    to.scales = view.scales + scale_at;
    to.starts = view.starts + (scale_at * 2);
    to.totals = view.totals + scale_at;
    to.sum = view.sums + row;
    to.group = group;
    to.wide = value_bytes(rows.form) == 2;
    quantize_row(x + (row * x_stride), rows.inputs, to, blocks);
  }
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_VEC_QUANTIZE_H_
