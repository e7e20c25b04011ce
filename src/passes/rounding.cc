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

// Rows of one block side by side, so that every loop below runs over rows. Plain arrays: vectors
// wider than the base processor's are split up before functions are cloned for wider ones.
constexpr size_t kRows = 32;
constexpr size_t kMostColumns = 256;

// Each row divided by its largest magnitude, and the weights of its squared errors.
struct Tile {
  float values[kMostColumns * kRows];
  float weights[kMostColumns * kRows];
  float low[kRows];   // of the divided values, at most 0
  float high[kRows];  // at least 0
  float size[kRows];  // the largest magnitude
};

LORAPRESS_SIMD void turn(
    const float* __restrict from, size_t pitch, size_t rows, size_t columns, float* __restrict to) {
  for (size_t row = 0; row < kRows; ++row) {
    const float* values = from + std::min(row, rows - 1) * pitch;
    for (size_t k = 0; k < columns; ++k) {
      to[k * kRows + row] = values[k];
    }
  }
}

LORAPRESS_SIMD void divide(size_t columns, Tile& tile) {
  float low[kRows] = {};
  float high[kRows] = {};
  float inverse[kRows];
  for (size_t k = 0; k < columns; ++k) {
    for (size_t row = 0; row < kRows; ++row) {
      const float x = tile.values[k * kRows + row];
      low[row] = x < low[row] ? x : low[row];
      high[row] = x > high[row] ? x : high[row];
    }
  }
  for (size_t row = 0; row < kRows; ++row) {
    const float size = high[row] > -low[row] ? high[row] : -low[row];
    inverse[row] = size < kLeastScale * 8.0F ? 0.0F : 1.0F / size;
    tile.size[row] = size;
    tile.low[row] = low[row] * inverse[row];
    tile.high[row] = high[row] * inverse[row];
  }
  for (size_t k = 0; k < columns; ++k) {
    for (size_t row = 0; row < kRows; ++row) {
      tile.values[k * kRows + row] *= inverse[row];
    }
  }
}

// mean(x^2) + x^2, as llama.cpp weighs its 4-bit blocks without statistics (ggml-quants.c,
// quantize_row_q4_0_impl): the plain squared error would cut large values, which trained models
// lean on. Times the importance of the column, if there is any.
LORAPRESS_SIMD void weigh(const float* importance, size_t columns, Tile& tile) {
  float mean[kRows] = {};
  for (size_t k = 0; k < columns; ++k) {
    for (size_t row = 0; row < kRows; ++row) {
      const float x = tile.values[k * kRows + row];
      mean[row] += x * x;
    }
  }
  for (size_t row = 0; row < kRows; ++row) {
    mean[row] /= static_cast<float>(columns);
  }
  for (size_t k = 0; k < columns; ++k) {
    const float factor = importance == nullptr ? 1.0F : importance[k];
    for (size_t row = 0; row < kRows; ++row) {
      const float x = tile.values[k * kRows + row];
      tile.weights[k * kRows + row] = (mean[row] + x * x) * factor;
    }
  }
}

// What is kept for each row: scale and zero point of the greatest fit, in units of the tile.
// With integers l and weights w, the best scale is sum(w x l) / sum(w l l) and takes
// sum(w x l)^2 / sum(w l l), the fit, off the error sum(w x x).
struct Best {
  float fit[kRows] = {};
  float scale[kRows] = {};
  float zero[kRows] = {};
};

struct Candidate {
  float inverse[kRows];  // of the scale
  float zero[kRows];
};

// 1.5 * 2^23: adding and subtracting it rounds to an integer, halves to even.
constexpr float kMagic = 12582912.0F;

// Rounds under the candidate and keeps what fits better than before.
LORAPRESS_SIMD void try_candidate(const Tile& tile,
                                  size_t columns,
                                  const Candidate& candidate,
                                  Best& best) {
  float least[kRows];
  float most[kRows];
  float cross[kRows] = {};
  float square[kRows] = {};
  for (size_t row = 0; row < kRows; ++row) {
    least[row] = -candidate.zero[row];
    most[row] = 15.0F - candidate.zero[row];
  }
  for (size_t k = 0; k < columns; ++k) {
    for (size_t row = 0; row < kRows; ++row) {
      const float x = tile.values[k * kRows + row];
      float l = (x * candidate.inverse[row] + kMagic) - kMagic;
      l = l > least[row] ? l : least[row];
      l = l < most[row] ? l : most[row];
      const float weighted = l * tile.weights[k * kRows + row];
      cross[row] += weighted * x;
      square[row] += weighted * l;
    }
  }
  for (size_t row = 0; row < kRows; ++row) {
    const float scale = square[row] > 0.0F ? cross[row] / square[row] : 0.0F;
    const float fit = scale * cross[row];
    const bool better = fit > best.fit[row];
    best.fit[row] = better ? fit : best.fit[row];
    best.scale[row] = better ? scale : best.scale[row];
    best.zero[row] = better ? candidate.zero[row] : best.zero[row];
  }
}

// Scales that put the largest value on about -8, the other way round on about 7, and in between.
void search_symmetric(const Tile& tile, size_t columns, Best& best) {
  Candidate candidate;
  std::fill_n(candidate.zero, kRows, static_cast<float>(kDefaultZeroPoint));
  const auto try_target = [&](float target) {
    for (size_t row = 0; row < kRows; ++row) {
      candidate.inverse[row] = tile.high[row] > -tile.low[row] ? target : -target;
    }
    try_candidate(tile, columns, candidate, best);
  };
  for (int step = -9; step <= 9; ++step) {
    try_target(-(8.0F + 0.1F * static_cast<float>(step)));
  }
  for (int step = -4; step <= 4; ++step) {
    try_target(7.0F + 0.2F * static_cast<float>(step));
  }
}

// Ranges around the block's own, each with the zero points next to where 0 falls.
void search_asymmetric(const Tile& tile, size_t columns, Best& best) {
  Candidate candidate;
  for (int step = -2; step <= 10; ++step) {
    const float steps = 15.0F + 0.3F * static_cast<float>(step);
    for (const float shift : {-1.0F, 0.0F, 1.0F}) {
      for (size_t row = 0; row < kRows; ++row) {
        const float range = tile.high[row] - tile.low[row];
        candidate.inverse[row] = range > 0.0F ? steps / range : 0.0F;
        const float middle =
            (15.0F - (tile.high[row] + tile.low[row]) * candidate.inverse[row]) * 0.5F;
        const float zero = (middle + kMagic) - kMagic + shift;
        candidate.zero[row] = std::clamp(zero, 0.0F, 15.0F);
      }
      try_candidate(tile, columns, candidate, best);
    }
  }
}

// Rounded again under the better scale, some integers move and the scale with them.
void refine(const Tile& tile, size_t columns, Best& best) {
  Candidate candidate;
  for (size_t row = 0; row < kRows; ++row) {
    candidate.inverse[row] = best.fit[row] > 0.0F ? 1.0F / best.scale[row] : 0.0F;
    candidate.zero[row] = best.zero[row];
  }
  try_candidate(tile, columns, candidate, best);
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
  const size_t columns = rows.block_size;
  const size_t pitch = rows.blocks * columns;
  Tile tile;
  for (size_t row = 0; row < rows.rows; row += kRows) {
    const size_t count = std::min(kRows, rows.rows - row);
    for (size_t block = 0; block < rows.blocks; ++block) {
      turn(rows.values + row * pitch + block * columns, pitch, count, columns, tile.values);
      divide(columns, tile);
      weigh(importance.empty() ? nullptr : importance.data() + block * columns, columns, tile);
      Best best;
      search_symmetric(tile, columns, best);
      if (!zero_points.empty()) {
        search_asymmetric(tile, columns, best);
      }
      refine(tile, columns, best);
      refine(tile, columns, best);
      for (size_t i = 0; i < count; ++i) {
        const size_t at = (row + i) * rows.blocks + block;
        scales[at] = best.scale[i] * tile.size[i];
        if (!zero_points.empty()) {
          zero_points[at] = static_cast<uint8_t>(best.zero[i]);
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
