#include "passes/rounding.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "base/simd.h"

namespace lorapress {
namespace {

constexpr size_t kLanes = 16;
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));
using HalfLanes = float __attribute__((vector_size(kLanes / 2 * sizeof(float))));
using IntLanes = int32_t __attribute__((vector_size(kLanes * sizeof(int32_t))));
using ByteLanes = uint8_t __attribute__((vector_size(kLanes)));
using PairLanes = uint16_t __attribute__((vector_size(kLanes)));
using PackedLanes = uint8_t __attribute__((vector_size(kLanes / 2)));

struct Range {
  float low;
  float high;
};

// Smallest and largest of the lanes.
[[gnu::always_inline]] inline Range fold(const Lanes& low, const Lanes& high) {
  HalfLanes a = __builtin_shufflevector(low, low, 0, 1, 2, 3, 4, 5, 6, 7);
  const HalfLanes b = __builtin_shufflevector(low, low, 8, 9, 10, 11, 12, 13, 14, 15);
  HalfLanes c = __builtin_shufflevector(high, high, 0, 1, 2, 3, 4, 5, 6, 7);
  const HalfLanes d = __builtin_shufflevector(high, high, 8, 9, 10, 11, 12, 13, 14, 15);
  a = a < b ? a : b;
  c = c > d ? c : d;
  Range range{a[0], c[0]};
  for (size_t i = 1; i < kLanes / 2; ++i) {
    range.low = a[i] < range.low ? a[i] : range.low;
    range.high = c[i] > range.high ? c[i] : range.high;
  }
  return range;
}

// Below this the reciprocal of a scale would overflow: such a block is all zeros.
constexpr float kLeastScale = FLT_MIN;

float reciprocal(float scale) {
  return std::fabs(scale) < kLeastScale ? 0.0F : 1.0F / scale;
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
    zeros += next * 0.0F;  // not a number from the first value on that is not finite
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

// 16 integers of one byte each, two to a byte.
[[gnu::always_inline]] inline void store_pairs(const IntLanes& integers, uint8_t* out) {
  const ByteLanes bytes = __builtin_convertvector(integers, ByteLanes);
  PairLanes pairs;
  std::memcpy(&pairs, &bytes, sizeof(pairs));
  pairs |= pairs >> 4;
  const PackedLanes packed = __builtin_convertvector(pairs, PackedLanes);
  std::memcpy(out, &packed, sizeof(packed));
}

LORAPRESS_SIMD void pack(const BlockRows& rows,
                         const float* scales,
                         const uint8_t* zero_points,
                         uint8_t* packed) {
  const size_t count = rows.count();
  for (size_t block = 0; block < count; ++block) {
    const float inverse = reciprocal(scales[block]);
    const auto zero =
        static_cast<float>(zero_points == nullptr ? kDefaultZeroPoint : zero_points[block]);
    const float* from = rows.values + block * rows.block_size;
    uint8_t* to = packed + block * rows.block_size / 2;
    for (size_t i = 0; i < rows.block_size; i += kLanes) {
      Lanes x;
      std::memcpy(&x, from + i, sizeof(x));
      x = x * inverse + zero;
      x = x > 0.0F ? x : Lanes{};
      x = x < 15.0F ? x : Lanes{} + 15.0F;
      IntLanes integers = __builtin_convertvector(x, IntLanes);
      const Lanes rest = x - __builtin_convertvector(integers, Lanes);
      integers -= rest >= 0.5F;  // a comparison that holds is -1
      store_pairs(integers, to + i / 2);
    }
  }
}

// 16 rows of one block side by side, each divided by its largest magnitude.
struct Tile {
  Lanes values[256];
  Lanes weights[256];  // of the squared errors
  Lanes largest;       // signed, of the values as they were
  Lanes low;           // of the divided values, at most 0
  Lanes high;          // at least 0
};

[[gnu::always_inline]] inline void fill_tile(
    const float* from, size_t pitch, size_t rows, size_t block_size, Tile& tile) {
  auto* out = reinterpret_cast<float*>(tile.values);
  for (size_t lane = 0; lane < kLanes; ++lane) {
    const float* row = from + std::min(lane, rows - 1) * pitch;
    for (size_t k = 0; k < block_size; ++k) {
      out[k * kLanes + lane] = row[k];
    }
  }
  Lanes low = {};
  Lanes high = {};
  for (size_t k = 0; k < block_size; ++k) {
    const Lanes x = tile.values[k];
    low = x < low ? x : low;
    high = x > high ? x : high;
  }
  tile.largest = high > -low ? high : low;
  const Lanes size = high > -low ? high : -low;
  const Lanes inverse = size < kLeastScale * 8.0F ? Lanes{} : 1.0F / size;
  for (size_t k = 0; k < block_size; ++k) {
    tile.values[k] *= inverse;
  }
  tile.low = low * inverse;
  tile.high = high * inverse;
}

// mean(x^2) + x^2, as llama.cpp weighs its 4-bit blocks without statistics (ggml-quants.c,
// quantize_row_q4_0_impl): the plain squared error would cut large values, which trained models
// lean on. Times the importance of the column, if there is any.
[[gnu::always_inline]] inline void weigh_tile(const float* importance,
                                              size_t block_size,
                                              Tile& tile) {
  Lanes sum = {};
  for (size_t k = 0; k < block_size; ++k) {
    sum += tile.values[k] * tile.values[k];
  }
  const Lanes mean = sum / static_cast<float>(block_size);
  for (size_t k = 0; k < block_size; ++k) {
    tile.weights[k] = mean + tile.values[k] * tile.values[k];
    if (importance != nullptr) {
      tile.weights[k] *= importance[k];
    }
  }
}

// What is kept for each lane: scale and zero point of the greatest fit, in units of the tile.
// With integers l and weights w, the best scale is sum(w x l) / sum(w l l) and takes
// sum(w x l)^2 / sum(w l l), the fit, off the error sum(w x x).
struct Best {
  Lanes fit = {};
  Lanes scale = {};
  Lanes zero = {};
};

constexpr float kMagic = 12582912.0F;  // 1.5 * 2^23: adding and subtracting it rounds

// Rounds under the scales 1 / inverse and keeps what fits better than before.
[[gnu::always_inline]] inline void try_scale(
    const Tile& tile, size_t block_size, const Lanes& inverse, const Lanes& zero, Best& best) {
  const Lanes least = -zero;
  const Lanes most = 15.0F - zero;
  Lanes cross = {};
  Lanes square = {};
  for (size_t k = 0; k < block_size; ++k) {
    const Lanes x = tile.values[k];
    Lanes l = (x * inverse + kMagic) - kMagic;
    l = l > least ? l : least;
    l = l < most ? l : most;
    const Lanes weighted = l * tile.weights[k];
    cross += weighted * x;
    square += weighted * l;
  }
  const Lanes scale = square > 0.0F ? cross / square : Lanes{};
  const Lanes fit = scale * cross;
  const auto better = fit > best.fit;
  best.fit = better ? fit : best.fit;
  best.scale = better ? scale : best.scale;
  best.zero = better ? zero : best.zero;
}

// Scales that put the largest value on about -8, the other way round on about 7, and in between.
[[gnu::always_inline]] inline void search_symmetric(const Tile& tile,
                                                    size_t block_size,
                                                    Best& best) {
  const Lanes zero = Lanes{} + static_cast<float>(kDefaultZeroPoint);
  const Lanes sign = tile.largest > 0.0F ? Lanes{} + 1.0F : Lanes{} - 1.0F;
  for (int step = -9; step <= 9; ++step) {
    const float target = 8.0F + 0.1F * static_cast<float>(step);
    try_scale(tile, block_size, -target * sign, zero, best);
  }
  for (int step = -4; step <= 4; ++step) {
    const float target = 7.0F + 0.2F * static_cast<float>(step);
    try_scale(tile, block_size, target * sign, zero, best);
  }
}

// Ranges around the block's own, each with the zero points next to where 0 falls.
[[gnu::always_inline]] inline void search_asymmetric(const Tile& tile,
                                                     size_t block_size,
                                                     Best& best) {
  Lanes range = tile.high - tile.low;
  range = range > 0.0F ? range : Lanes{} + 1.0F;
  for (int step = -2; step <= 10; ++step) {
    const Lanes inverse = (15.0F + 0.3F * static_cast<float>(step)) / range;
    const Lanes middle = (15.0F - (tile.high + tile.low) * inverse) * 0.5F;
    const Lanes rounded = (middle + kMagic) - kMagic;
    for (const float shift : {-1.0F, 0.0F, 1.0F}) {
      Lanes zero = rounded + shift;
      zero = zero > 0.0F ? zero : Lanes{};
      zero = zero < 15.0F ? zero : Lanes{} + 15.0F;
      try_scale(tile, block_size, inverse, zero, best);
    }
  }
}

LORAPRESS_SIMD void search(const BlockRows& rows,
                           const float* importance,
                           float* scales,
                           uint8_t* zero_points) {
  const size_t pitch = rows.blocks * rows.block_size;
  Tile tile;
  for (size_t row = 0; row < rows.rows; row += kLanes) {
    const size_t count = std::min(kLanes, rows.rows - row);
    for (size_t block = 0; block < rows.blocks; ++block) {
      const size_t column = block * rows.block_size;
      fill_tile(rows.values + row * pitch + column, pitch, count, rows.block_size, tile);
      weigh_tile(importance == nullptr ? nullptr : importance + column, rows.block_size, tile);
      Best best;
      search_symmetric(tile, rows.block_size, best);
      if (zero_points != nullptr) {
        search_asymmetric(tile, rows.block_size, best);
      }
      // Rounded again under the better scale, some integers move and the scale with them.
      for (int again = 0; again < 2; ++again) {
        const Lanes inverse = best.fit > 0.0F ? 1.0F / best.scale : Lanes{};
        const Lanes zero = best.zero;
        try_scale(tile, rows.block_size, inverse, zero, best);
      }
      const Lanes size = tile.largest > 0.0F ? tile.largest : -tile.largest;
      const Lanes scale = best.scale * size;
      for (size_t lane = 0; lane < count; ++lane) {
        const size_t at = (row + lane) * rows.blocks + block;
        scales[at] = scale[lane];
        if (zero_points != nullptr) {
          zero_points[at] = static_cast<uint8_t>(best.zero[lane]);
        }
      }
    }
  }
}

}  // namespace

bool all_finite(std::span<const float> values) {
  return finite(values.data(), values.size());
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
  search(rows,
         importance.empty() ? nullptr : importance.data(),
         scales.data(),
         zero_points.empty() ? nullptr : zero_points.data());
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
