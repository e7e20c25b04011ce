#include "quant/scale_search.h"

#include <algorithm>

#include "base/simd.h"
#include "quant/exact.h"
#include "quant/rounding.h"

namespace lorapress {
namespace {

// A block of smaller values has a scale below kLeastScale.
constexpr float kLeastSize = kLeastScale * 8.0F;

LORAPRESS_SIMD void divide(size_t columns, SearchTile& tile) {
  float low[kTileRows] = {};
  float high[kTileRows] = {};
  float inverse[kTileRows];
  for (size_t k = 0; k < columns; ++k) {
    for (size_t row = 0; row < kTileRows; ++row) {
      const float x = tile.values[k * kTileRows + row];
      low[row] = x < low[row] ? x : low[row];
      high[row] = x > high[row] ? x : high[row];
    }
  }
  for (size_t row = 0; row < kTileRows; ++row) {
    const float size = high[row] > -low[row] ? high[row] : -low[row];
    inverse[row] = size < kLeastSize ? 0.0F : 1.0F / size;
    tile.size[row] = size;
    tile.low[row] = low[row] * inverse[row];
    tile.high[row] = high[row] * inverse[row];
  }
  for (size_t k = 0; k < columns; ++k) {
    for (size_t row = 0; row < kTileRows; ++row) {
      tile.values[k * kTileRows + row] *= inverse[row];
    }
  }
}

// Fills the weights of errors: the importance of each column where it is known, otherwise mean(x^2)
// + x^2, as llama.cpp weighs its 4-bit blocks without statistics (ggml-quants.c,
// quantize_row_q4_0_impl): the plain squared error would clip large values, which trained models
// depend on.
LORAPRESS_SIMD void square_weighted(const float* importance, size_t columns, SearchTile& tile) {
  if (importance != nullptr) {
    for (size_t k = 0; k < columns; ++k) {
      std::fill_n(tile.weights + k * kTileRows, kTileRows, importance[k]);
    }
    return;
  }
  float mean[kTileRows] = {};
  for (size_t k = 0; k < columns; ++k) {
    for (size_t row = 0; row < kTileRows; ++row) {
      const float x = tile.values[k * kTileRows + row];
      mean[row] += x * x;
    }
  }
  for (size_t row = 0; row < kTileRows; ++row) {
    mean[row] /= static_cast<float>(columns);
  }
  for (size_t k = 0; k < columns; ++k) {
    for (size_t row = 0; row < kTileRows; ++row) {
      const float x = tile.values[k * kTileRows + row];
      tile.weights[k * kTileRows + row] = mean[row] + x * x;
    }
  }
}

// The scale and zero point of the greatest fit of each row so far, in units of the tile. With
// integers l and weights w, the best scale is sum(w x l) / sum(w l l); it reduces the error sum(w x
// x) by the fit, sum(w x l)^2 / sum(w l l).
struct Best {
  float fit[kTileRows] = {};
  float scale[kTileRows] = {};
  float zero[kTileRows] = {};
};

struct Candidate {
  float inverse[kTileRows];  // of the scale
  float zero[kTileRows];
};

// Rounds with the candidate's scale, and keeps it for the rows that it fits better than the best so
// far.
LORAPRESS_SIMD void try_candidate(const SearchTile& tile,
                                  size_t columns,
                                  const Candidate& candidate,
                                  Best& best) {
  float least[kTileRows];
  float most[kTileRows];
  float cross[kTileRows] = {};
  float square[kTileRows] = {};
  for (size_t row = 0; row < kTileRows; ++row) {
    least[row] = -candidate.zero[row];
    most[row] = 15.0F - candidate.zero[row];
  }
  for (size_t k = 0; k < columns; ++k) {
    for (size_t row = 0; row < kTileRows; ++row) {
      const float x = tile.values[k * kTileRows + row];
      float l = (x * candidate.inverse[row] + kRounder) - kRounder;
      l = l > least[row] ? l : least[row];
      l = l < most[row] ? l : most[row];
      const float weighted = l * tile.weights[k * kTileRows + row];
      cross[row] += weighted * x;
      square[row] += weighted * l;
    }
  }
  for (size_t row = 0; row < kTileRows; ++row) {
    const float scale = square[row] > 0.0F ? cross[row] / square[row] : 0.0F;
    const float fit = scale * cross[row];
    const bool better = fit > best.fit[row];
    best.fit[row] = better ? fit : best.fit[row];
    best.scale[row] = better ? scale : best.scale[row];
    best.zero[row] = better ? candidate.zero[row] : best.zero[row];
  }
}

// Tries scales that map the value of largest magnitude to -8.9 ... -7.1 and to 6.2 ... 7.8.
void search_symmetric(const SearchTile& tile, size_t columns, Best& best) {
  Candidate candidate;
  std::fill_n(candidate.zero, kTileRows, static_cast<float>(kDefaultZeroPoint));
  const auto try_target = [&](float target) {
    for (size_t row = 0; row < kTileRows; ++row) {
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

// Tries ranges around the block's own, each with the zero point that centres the range in 0 to 15
// and the two next to it.
void search_asymmetric(const SearchTile& tile, size_t columns, Best& best) {
  Candidate candidate;
  for (int step = -2; step <= 10; ++step) {
    const float steps = 15.0F + 0.3F * static_cast<float>(step);
    for (const float shift : {-1.0F, 0.0F, 1.0F}) {
      for (size_t row = 0; row < kTileRows; ++row) {
        const float range = tile.high[row] - tile.low[row];
        candidate.inverse[row] = range > 0.0F ? steps / range : 0.0F;
        const float middle =
            (15.0F - (tile.high[row] + tile.low[row]) * candidate.inverse[row]) * 0.5F;
        const float zero = (middle + kRounder) - kRounder + shift;
        candidate.zero[row] = std::clamp(zero, 0.0F, 15.0F);
      }
      try_candidate(tile, columns, candidate, best);
    }
  }
}

// Rounds again with the best scale: some integers change, and the scale with them.
void refine(const SearchTile& tile, size_t columns, Best& best) {
  Candidate candidate;
  for (size_t row = 0; row < kTileRows; ++row) {
    candidate.inverse[row] = best.fit[row] > 0.0F ? 1.0F / best.scale[row] : 0.0F;
    candidate.zero[row] = best.zero[row];
  }
  try_candidate(tile, columns, candidate, best);
}

// Clones are local: clang makes none of a function that a header declared without them.
LORAPRESS_SIMD void transpose_in_clones(
    const float* __restrict from, size_t pitch, size_t rows, size_t columns, float* __restrict to) {
  for (size_t row = 0; row < kTileRows; ++row) {
    const float* values = from + std::min(row, rows - 1) * pitch;
    for (size_t k = 0; k < columns; ++k) {
      to[k * kTileRows + row] = values[k];
    }
  }
}

}  // namespace

void transpose_rows(
    const float* __restrict from, size_t pitch, size_t rows, size_t columns, float* __restrict to) {
  transpose_in_clones(from, pitch, rows, columns, to);
}

FoundScales search_scales(SearchTile& tile,
                          size_t columns,
                          const float* importance,
                          bool zero_points) {
  divide(columns, tile);
  square_weighted(importance, columns, tile);
  Best best;
  search_symmetric(tile, columns, best);
  if (zero_points) {
    search_asymmetric(tile, columns, best);
  }
  refine(tile, columns, best);
  refine(tile, columns, best);
  FoundScales found;
  for (size_t row = 0; row < kTileRows; ++row) {
    found.scale[row] = best.scale[row] * tile.size[row];
    found.zero[row] = best.zero[row];
  }
  return found;
}

}  // namespace lorapress
