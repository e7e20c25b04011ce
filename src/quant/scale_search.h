// Scales of 4-bit blocks by search, many rows at once.
#ifndef LORAPRESS_QUANT_SCALE_SEARCH_H_
#define LORAPRESS_QUANT_SCALE_SEARCH_H_

#include <cstddef>

namespace lorapress {

// Rows of one block side by side, so that every loop runs over rows. Plain arrays: vectors wider
// than the base processor's are split up before functions are cloned for wider ones.
inline constexpr size_t kTileRows = 32;
inline constexpr size_t kMostColumns = 256;

// `values` [columns][kTileRows] is what a caller fills; the search divides each row by its largest
// magnitude and fills the rest.
struct SearchTile {
  float values[kMostColumns * kTileRows];
  float weights[kMostColumns * kTileRows];  // of squared errors
  float low[kTileRows];                     // of the divided values, at most 0
  float high[kTileRows];                    // at least 0
  float size[kTileRows];                    // the largest magnitude
};

// values[row * pitch + k] as to[k * kTileRows + row]; the last of `rows` fills what is left.
void turn_rows(
    const float* __restrict from, size_t pitch, size_t rows, size_t columns, float* __restrict to);

struct FoundScales {
  float scale[kTileRows];  // 0 for a block of zeros
  float zero[kTileRows];
};

// The scale (and zero point; else 8) of each row's least weighted squared error among candidates
// around the nearest ones, the best improved by least squares. An error weighs `importance` of
// its column where given, else mean(x^2) + x^2 of its row.
FoundScales search_scales(SearchTile& tile,
                          size_t columns,
                          const float* importance,
                          bool zero_points);

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_SCALE_SEARCH_H_
