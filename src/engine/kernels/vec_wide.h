// Products of integers of more than one row in vectors of 512 bits. A tile of 16 outputs is one vector, so that the sums of 8 rows
// and two tiles fit the 32 registers. The order of every sum is that of vec_blocks4.h and vec_channels8.h.
#ifndef LORAPRESS_ENGINE_KERNELS_VEC_WIDE_H_
#define LORAPRESS_ENGINE_KERNELS_VEC_WIDE_H_

#include "engine/kernels/vec_linear.h"

namespace lorapress::kernels {

static_assert(kVectors == 1 && kProducts == Products::k8);

// Rows that are multiplied together: whole groups of four, or one to three rows behind them.
template <int Rows>
struct WideRows {
  static constexpr int kOf = Rows % kGroup == 0 ? static_cast<int>(kGroup) : 1;  // rows of a group
  static constexpr int kGroups = Rows / kOf;

  const std::byte* values[kGroups];
  const float* scales[kGroups];
  const int16_t* starts[kGroups];
  const int32_t* totals[kGroups];

  WideRows(const RowsView& view, int64_t row) {
    for (int g = 0; g < kGroups; ++g) {
      const int64_t at = row + (g * kOf);
      values[g] = view.values + (at * view.values_row);
      scales[g] = view.scales + (at * view.blocks);
      starts[g] = view.starts + (at * view.blocks * 2);
      totals[g] = view.totals + (at * view.blocks);
    }
  }
  // Four inputs of row r in every lane.
  [[nodiscard]] Ints inputs(int r, int64_t step) const {
    return broadcast(values[r / kOf] + ((step * kOf) + (r % kOf)) * 4);
  }
};

// What a product of 4 bits reads of a tile: its blocks, and their nibbles as bytes (unpack_block4) or null.
struct WideTile {
  const std::byte* packed;
  const std::byte* unpacked;
};

// Weights of 4 and the next 4 inputs of block `b` of a tile, p-th of four such pairs.
template <bool Packed>
static inline void wide_weights4(
    const WideTile& tile, int64_t b, int64_t block_step, int p, Ints& low, Ints& high) {
  if constexpr (Packed) {
    split_nibbles(load<Ints>(tile.packed + (b * block_step) + (p * kTileFloats)), &low, &high);
  } else {
    const std::byte* from = tile.unpacked + (((b * kSteps) + (2 * p)) * kTileFloats);
    low = load<Ints>(from);
    high = load<Ints>(from + kTileFloats);
  }
}

// Rows rows times Tiles tiles: sums [Tiles][Rows][16].
template <int Rows, int Tiles, bool Zeros, bool Packed>
static inline void wide_product4(const WideRows<Rows>& rows,
                                 const WideTile* tiles,
                                 int64_t block_step,
                                 int64_t blocks,
                                 float* sums) {
  constexpr int kOf = WideRows<Rows>::kOf;
  Floats total[Tiles][Rows] = {};
  for (int64_t b = 0; b < blocks; ++b) {
    Ints sum[Tiles][Rows];
    LORAPRESS_UNROLLED
    for (int t = 0; t < Tiles; ++t) {
      const std::byte* block = tiles[t].packed + (b * block_step) + kNibbleBytes;
      const Ints zeros = Zeros ? load<Ints>(block + kTileFloats) : Ints{};
      LORAPRESS_UNROLLED
      for (int r = 0; r < Rows; ++r) {
        const int64_t at = (b * kOf) + (r % kOf);
        sum[t][r] =
            block_start<Zeros>(rows.starts[r / kOf] + (2 * at), rows.totals[r / kOf] + at, zeros);
      }
    }
    LORAPRESS_UNROLLED
    for (int p = 0; p < 4; ++p) {
      Ints w[2][Tiles];
      LORAPRESS_UNROLLED
      for (int t = 0; t < Tiles; ++t) {
        wide_weights4<Packed>(tiles[t], b, block_step, p, w[0][t], w[1][t]);
      }
      LORAPRESS_UNROLLED
      for (int half = 0; half < 2; ++half) {
        LORAPRESS_UNROLLED
        for (int r = 0; r < Rows; ++r) {
          const Ints x = rows.inputs(r, (b * kSteps) + (2 * p) + half);
          LORAPRESS_UNROLLED
          for (int t = 0; t < Tiles; ++t) {
            sum[t][r] = dot8(sum[t][r], w[half][t], x);
            pin(sum[t][r]);
          }
        }
      }
    }
    LORAPRESS_UNROLLED
    for (int t = 0; t < Tiles; ++t) {
      const auto scale = load<Floats>(tiles[t].packed + (b * block_step) + kNibbleBytes);
      LORAPRESS_UNROLLED
      for (int r = 0; r < Rows; ++r) {
        const Floats row_scale = broadcast(rows.scales[r / kOf][(b * kOf) + (r % kOf)]);
        total[t][r] = total[t][r] + (block_sum(sum[t][r]) * row_scale) * scale;
      }
    }
  }
  LORAPRESS_UNROLLED
  for (int i = 0; i < Tiles * Rows; ++i) {
    store(sums + (i * kTile), total[i / Rows][i % Rows]);
  }
}

// The same of 8 bits. REQUIRES: sums in 32 bits of all inputs.
template <int Rows, int Tiles>
static inline void wide_product8(const WideRows<Rows>& rows,
                                 const RowsView& view,
                                 int64_t row,
                                 const WideTile* tiles,
                                 int64_t padded,
                                 float* sums) {
  Ints sum[Tiles][Rows] = {};
  for (int64_t k = 0; k < padded / 4; ++k) {
    Ints w[Tiles];
    LORAPRESS_UNROLLED
    for (int t = 0; t < Tiles; ++t) {
      w[t] = load<Ints>(tiles[t].packed + (k * kTileFloats));
    }
    LORAPRESS_UNROLLED
    for (int r = 0; r < Rows; ++r) {
      const Ints x = rows.inputs(r, k);
      LORAPRESS_UNROLLED
      for (int t = 0; t < Tiles; ++t) {
        sum[t][r] = dot8(sum[t][r], w[t], x);
        pin(sum[t][r]);
      }
    }
  }
  LORAPRESS_UNROLLED
  for (int t = 0; t < Tiles; ++t) {
    const std::byte* channels = tiles[t].packed + (padded * kTile);
    const auto scale = load<Floats>(channels);
    const Ints zeros = load<Ints>(channels + kTileFloats);
    LORAPRESS_UNROLLED
    for (int r = 0; r < Rows; ++r) {
      const Ints whole = sum[t][r] - (zeros * broadcast_int(view.sums[row + r]));
      store(sums + (((t * Rows) + r) * kTile),
            to_floats(whole) * (broadcast(view.scales[row + r]) * scale));
    }
  }
}

// Tiles tiles, `step` apart, times Rows rows from `row` on.
template <int Rows, int Tiles, typename Product>
static inline void wide_rows(
    const LinearRun& run, int64_t row, int64_t first, int64_t step, const Product& product) {
  alignas(64) float sums[Rows * Tiles * kTile];
  product.template operator()<Rows, Tiles>(row, first, step, sums);
  for (int t = 0; t < Tiles; ++t) {
    store_tile(run,
               row,
               least<int64_t>(Rows, run.rows - row),
               (first + (t * step)) * kTile,
               sums + (t * Rows * kTile));
  }
}

// Rows rows from `row` on times the tiles first <= t < last, two at a time: the first with the first of the other half where
// `streams`, so that the memory is read in as many.
template <int Rows, typename Product>
static inline void wide_tiles(const LinearRun& run,
                              int64_t row,
                              int64_t first,
                              int64_t last,
                              bool streams,
                              const Product& product) {
  const int64_t pairs = (last - first) / 2;
  for (int64_t i = 0; i < pairs; ++i) {
    wide_rows<Rows, 2>(run, row, first + (streams ? i : 2 * i), streams ? pairs : 1, product);
  }
  if (first + (2 * pairs) < last) {
    wide_rows<Rows, 1>(run, row, last - 1, 0, product);
  }
}

// All rows times the tiles first <= t < last.
template <typename Product>
static inline void wide_all_rows(
    const LinearRun& run, int64_t first, int64_t last, bool streams, const Product& product) {
  const int64_t grouped = run.quantized.rows - (run.quantized.rows % kGroup);
  int64_t row = 0;
  for (; row + kGroup < least(run.rows + 1, grouped); row += 2 * kGroup) {
    wide_tiles<2 * kGroup>(run, row, first, last, streams, product);
  }
  for (; row < least(run.rows, grouped); row += kGroup) {
    wide_tiles<kGroup>(run, row, first, last, streams, product);
  }
  switch (run.rows - row) {
    case 1:
      return wide_tiles<1>(run, row, first, last, streams, product);
    case 2:
      return wide_tiles<2>(run, row, first, last, streams, product);
    case 3:
      return wide_tiles<3>(run, row, first, last, streams, product);
    default:
      return;
  }
}

// Few rows: what the memory gives is what counts, and nibbles are used once.
inline constexpr int64_t kFewRows = 8;

template <bool Zeros, bool Packed>
static inline void wide_blocks4(const LinearRun& run, const RowsView& view) {
  const int64_t block_step = block_bytes(run.linear->spec);
  const int64_t unpacked_tile = view.blocks * kSteps * kTileFloats;
  const int64_t most_tiles =
      Packed ? run.last_tile - run.first_tile : 4;  // 4 fit the scratch memory
  for (int64_t begin = run.first_tile; begin < run.last_tile; begin += most_tiles) {
    const int64_t end = least(begin + most_tiles, run.last_tile);
    for (int64_t tile = begin; !Packed && tile < end; ++tile) {
      for (int64_t b = 0; b < view.blocks; ++b) {
        unpack_block4(tile_at(*run.linear, tile) + (b * block_step),
                      run.scratch + ((tile - begin) * unpacked_tile) + (b * kSteps * kTileFloats));
      }
    }
    const auto product = [&]<int Rows, int Tiles>(
                             int64_t row, int64_t first, int64_t step, float* sums) {
      WideTile tiles[Tiles];
      for (int t = 0; t < Tiles; ++t) {
        const int64_t tile = first + (t * step);
        tiles[t] = {tile_at(*run.linear, tile), run.scratch + ((tile - begin) * unpacked_tile)};
      }
      wide_product4<Rows, Tiles, Zeros, Packed>(
          WideRows<Rows>(view, row), tiles, block_step, view.blocks, sums);
    };
    wide_all_rows(run, begin, end, Packed, product);
  }
}

static inline void wide_channels8(const LinearRun& run, const RowsView& view) {
  const int64_t padded = padded_inputs(run.linear->spec.inputs);
  const auto product = [&]<int Rows, int Tiles>(
                           int64_t row, int64_t first, int64_t step, float* sums) {
    WideTile tiles[Tiles];
    for (int t = 0; t < Tiles; ++t) {
      tiles[t] = {tile_at(*run.linear, first + (t * step)), nullptr};
    }
    wide_product8<Rows, Tiles>(WideRows<Rows>(view, row), view, row, tiles, padded, sums);
  };
  const bool few = run.rows <= kFewRows;
  const int64_t step = few ? run.last_tile - run.first_tile
                           : most<int64_t>(2, kCachedWeights / (padded * kTile) / 2 * 2);
  for (int64_t first = run.first_tile; first < run.last_tile; first += step) {
    wide_all_rows(run, first, least(first + step, run.last_tile), few, product);
  }
}

static inline void wide_run_linear(const LinearRun& run) {
  const WeightKind kind = packed_kind(run.linear->spec);
  const bool bytes = run.linear->form == RowForm::kBlocks8 || run.linear->form == RowForm::kRows8;
  if (!bytes || (run.rows == 1 && run.quantized.rows < kGroup)) {
    return vec_run_linear(run);
  }
  const RowsView view = view_rows(run.quantized);
  if (kind == WeightKind::kChannels8) {
    return wide_channels8(run, view);
  }
  const bool few = run.rows <= kFewRows;
  if (run.linear->spec.zero_points) {
    few ? wide_blocks4<true, true>(run, view) : wide_blocks4<true, false>(run, view);
  } else {
    few ? wide_blocks4<false, true>(run, view) : wide_blocks4<false, false>(run, view);
  }
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_VEC_WIDE_H_
