// Scales of 4-bit blocks by search, many rows at once.
#ifndef LORAPRESS_QUANT_SCALE_SEARCH_H_
#define LORAPRESS_QUANT_SCALE_SEARCH_H_

#include <cstddef>

namespace lorapress {

// A tile holds one block of kTileRows rows side by side, so that every inner loop runs over rows.
// Its members are plain arrays: vector types wider than the base processor's registers are split
// before functions are cloned for wider processors.
inline constexpr size_t kTileRows = 32;
inline constexpr size_t kMostColumns = 256;

// The caller fills `values` [columns][kTileRows]; search_scales() divides each row by its largest
// magnitude and fills the other arrays.
struct SearchTile {
  float values[kMostColumns * kTileRows];
  float weights[kMostColumns * kTileRows];  // of squared errors
  float low[kTileRows];                     // least divided value, at most 0
  float high[kTileRows];                    // largest divided value, at least 0
  float size[kTileRows];                    // the largest magnitude
};

// Transposes rows into a tile: to[k * kTileRows + row] = from[row * pitch + k]. The tile's
// remaining rows repeat the last one.
void transpose_rows(
    const float* __restrict from, size_t pitch, size_t rows, size_t columns, float* __restrict to);

struct FoundScales {
  float scale[kTileRows];  // 0 for a block of zeros
  float zero[kTileRows];
};

// The scale (and zero point; 8 unless `zero_points`) of each row with the least weighted squared
// error among candidates around the nearest ones; the best one is improved by least squares. The
// weight of an error is the `importance` of its column or, where `importance` is null, mean(x^2) +
// x^2 of its row.
FoundScales search_scales(SearchTile& tile,
                          size_t columns,
                          const float* importance,
                          bool zero_points);

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_SCALE_SEARCH_H_
