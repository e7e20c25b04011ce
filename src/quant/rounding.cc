#include "quant/rounding.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/fail.h"
#include "base/simd.h"
#include "quant/exact.h"
#include "quant/scale_search.h"

namespace lorapress {
namespace {

// As many as AVX2 has: gcc 12 compares wider vectors value by value.
constexpr size_t kLanes = 8;
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));
using IntLanes = int32_t __attribute__((vector_size(kLanes * sizeof(int32_t))));
using PairLanes = uint64_t __attribute__((vector_size(kLanes * sizeof(int32_t))));
using ByteLanes = uint8_t __attribute__((vector_size(kLanes * sizeof(int32_t))));
using PackedLanes = uint8_t __attribute__((vector_size(kLanes)));

struct Range {
  float low;
  float high;
};

// Smallest and largest of the lanes.
[[gnu::always_inline]] inline Range fold(const Lanes& low, const Lanes& high) {
  Range range{low[0], high[0]};
  for (size_t i = 1; i < kLanes; ++i) {
    range.low = low[i] < range.low ? low[i] : range.low;
    range.high = high[i] > range.high ? high[i] : range.high;
  }
  return range;
}

float symmetric_scale(const Range& range) {
  const float largest = std::fabs(range.high) > std::fabs(range.low) ? range.high : range.low;
  return -largest / 8.0F;
}

float asymmetric_scale(Range range, uint8_t& zero_point) {
  range.low = std::min(range.low, 0.0F);
  range.high = std::max(range.high, 0.0F);
  // Halves first: the range of huge values would overflow.
  const float scale = (range.high / 2.0F - range.low / 2.0F) / 15.0F * 2.0F;
  const float zero = scale < kLeastScale ? 0.0F : -range.low / scale;
  zero_point = static_cast<uint8_t>(std::clamp(std::round(zero), 0.0F, 15.0F));
  return scale;
}

LORAPRESS_SIMD void find_ranges(const float* values,
                                size_t blocks,
                                size_t block_size,
                                Range* ranges) {
  for (size_t block = 0; block < blocks; ++block) {
    const float* from = values + block * block_size;
    Lanes low;
    std::memcpy(&low, from, sizeof(low));
    Lanes high = low;
    for (size_t i = kLanes; i < block_size; i += kLanes) {
      Lanes next;
      std::memcpy(&next, from + i, sizeof(next));
      low = next < low ? next : low;
      high = next > high ? next : high;
    }
    ranges[block] = fold(low, high);
  }
}

LORAPRESS_SIMD bool finite(const float* values, size_t count) {
  const size_t whole = count / kLanes * kLanes;
  Lanes zeros = {};
  for (size_t i = 0; i < whole; i += kLanes) {
    Lanes next;
    std::memcpy(&next, values + i, sizeof(next));
    zeros += next * 0.0F;  // NaN from the first value on that is not finite
  }
  float sum = 0.0F;
  for (size_t lane = 0; lane < kLanes; ++lane) {
    sum += zeros[lane];
  }
  for (size_t i = whole; i < count; ++i) {
    sum += values[i] * 0.0F;
  }
  return sum == 0.0F;
}

// The nearest integers 0 to 15, halves rounded up.
[[gnu::always_inline]] inline void find_nearest(const float* from,
                                                float inverse,
                                                float zero,
                                                IntLanes& integers) {
  Lanes x;
  std::memcpy(&x, from, sizeof(x));  // one at a time: gcc 12 copies two through the stack
  x = x * inverse + zero;
  x = x > 0.0F ? x : Lanes{};
  x = x < 15.0F ? x : Lanes{} + 15.0F;
  integers = __builtin_convertvector(x, IntLanes);
  const Lanes rest = x - __builtin_convertvector(integers, Lanes);
  integers -= rest >= 0.5F;  // a comparison gives -1 where it holds
}

// The low byte of each pair becomes low | high << 4 of two neighbours.
[[gnu::always_inline]] inline void join_pairs(const IntLanes& integers, PairLanes& pairs) {
  std::memcpy(&pairs, &integers, sizeof(pairs));
  pairs = (pairs | pairs >> 28) & 0xff;
}

// Stores 2 * kLanes integers, two per byte. The shuffle is explicit because gcc 12 converts vectors
// to bytes one by one through general registers.
[[gnu::always_inline]] inline void store_pairs(const IntLanes integers[2], uint8_t* out) {
  PairLanes pairs[2];
  join_pairs(integers[0], pairs[0]);
  join_pairs(integers[1], pairs[1]);
  pairs[0] |= pairs[1] << 8;
  ByteLanes bytes;
  std::memcpy(&bytes, &pairs[0], sizeof(bytes));
  const PackedLanes packed = __builtin_shufflevector(bytes, bytes, 0, 8, 16, 24, 1, 9, 17, 25);
  std::memcpy(out, &packed, sizeof(packed));
}

LORAPRESS_SIMD void pack(const BlockRows& rows,
                         const float* scales,
                         const uint8_t* zero_points,
                         uint8_t* packed) {
  const size_t count = rows.count();
  for (size_t block = 0; block < count; ++block) {
    const float inverse = reciprocal_or_zero(scales[block]);
    const auto zero =
        static_cast<float>(zero_points == nullptr ? kDefaultZeroPoint : zero_points[block]);
    const float* from = rows.values + block * rows.block_size;
    uint8_t* to = packed + block * rows.block_size / 2;
    for (size_t i = 0; i < rows.block_size; i += 2 * kLanes) {
      IntLanes integers[2];
      find_nearest(from + i, inverse, zero, integers[0]);
      find_nearest(from + i + kLanes, inverse, zero, integers[1]);
      store_pairs(integers, to + i / 2);
    }
  }
}

}  // namespace

bool all_finite(std::span<const float> values) {
  return finite(values.data(), values.size());
}

void require_finite_blocks(const std::string& tensor, std::span<const float> values) {
  if (!all_finite(values)) {
    fail(ErrorCode::kInvalidFile,
         "tensor {}: holds values that are not finite (NaN or infinity), which 4-bit blocks cannot "
         "hold; leave it out (options.exclude) or repair the checkpoint",
         tensor);
  }
}

void nearest_scales(const BlockRows& rows,
                    std::span<float> scales,
                    std::span<uint8_t> zero_points) {
  constexpr size_t kBatch = 256;
  Range ranges[kBatch];
  for (size_t first = 0; first < rows.count(); first += kBatch) {
    const size_t count = std::min(kBatch, rows.count() - first);
    find_ranges(rows.values + first * rows.block_size, count, rows.block_size, ranges);
    for (size_t i = 0; i < count; ++i) {
      scales[first + i] = zero_points.empty() ? symmetric_scale(ranges[i])
                                              : asymmetric_scale(ranges[i], zero_points[first + i]);
    }
  }
}

void searched_scales(const BlockRows& rows,
                     std::span<const float> importance,
                     std::span<float> scales,
                     std::span<uint8_t> zero_points) {
  const size_t columns = rows.block_size;
  const size_t pitch = rows.blocks * columns;
  SearchTile tile;
  for (size_t row = 0; row < rows.rows; row += kTileRows) {
    const size_t count = std::min(kTileRows, rows.rows - row);
    for (size_t block = 0; block < rows.blocks; ++block) {
      transpose_rows(
          rows.values + row * pitch + block * columns, pitch, count, columns, tile.values);
      const FoundScales found =
          search_scales(tile,
                        columns,
                        importance.empty() ? nullptr : importance.data() + block * columns,
                        !zero_points.empty());
      for (size_t i = 0; i < count; ++i) {
        const size_t at = (row + i) * rows.blocks + block;
        scales[at] = found.scale[i];
        if (!zero_points.empty()) {
          zero_points[at] = static_cast<uint8_t>(found.zero[i]);
        }
      }
    }
  }
}

void pack_blocks(const BlockRows& rows,
                 std::span<const float> scales,
                 std::span<const uint8_t> zero_points,
                 std::span<uint8_t> packed) {
  pack(rows, scales.data(), zero_points.empty() ? nullptr : zero_points.data(), packed.data());
}

void restore_blocks(std::span<const uint8_t> packed,
                    std::span<const float> scales,
                    std::span<const uint8_t> zero_points,
                    size_t block_size,
                    std::span<float> values) {
  for (size_t block = 0; block < scales.size(); ++block) {
    const int zero = zero_points.empty() ? kDefaultZeroPoint : zero_points[block];
    const uint8_t* from = packed.data() + block * block_size / 2;
    float* to = values.data() + block * block_size;
    for (size_t i = 0; i < block_size / 2; ++i) {
      to[2 * i] = scales[block] * static_cast<float>((from[i] & 15) - zero);
      to[2 * i + 1] = scales[block] * static_cast<float>((from[i] >> 4) - zero);
    }
  }
}

}  // namespace lorapress
