// Products of 8-bit weights with a scale for each output: sums of all inputs in 32 bits.
#ifndef LORAPRESS_ENGINE_KERNELS_VEC_CHANNELS8_H_
#define LORAPRESS_ENGINE_KERNELS_VEC_CHANNELS8_H_

#include "engine/kernels/vec_blocks4.h"

namespace lorapress::kernels {

// How weights and activations meet.
enum class Form8 : uint8_t {
  kBytes,     // in bytes
  kWide,      // activations of 16 bits in the order 0 2, 1 3; weights in bytes
  kUnpacked,  // both of 16 bits
};

// A tile's weights in 16 bits: [inputs / 4][inputs 0 2, inputs 1 3][16 outputs][2].
static inline void unpack_tile8(const std::byte* tile, int64_t padded, std::byte* to) {
  for (int64_t k = 0; k < padded / 4; ++k) {
    for (int64_t c = 0; c < kTileFloats; c += kVectorBytes) {
      const Ints w = load<Ints>(tile + (k * kTileFloats) + c);
      std::byte* at = to + (2 * k * kTileFloats) + c;
      store(at, w & 0x00FF00FF);
      store(at + kTileFloats, shift_right(w, 8) & 0x00FF00FF);
    }
  }
}

// sum + w x over 4 inputs of each output.
template <Form8 Form>
static inline Ints multiply_add8(Ints sum, const std::byte* at, const Ints* x) {
  const Ints w = load<Ints>(at);
  if constexpr (Form == Form8::kUnpacked) {
    return (sum + sum_pairs(w, x[0])) + sum_pairs(load<Ints>(at + kTileFloats), x[1]);
  } else if constexpr (Form == Form8::kWide) {
    const Ints even = w & 0x00FF00FF;
    const Ints odd = shift_right(w, 8) & 0x00FF00FF;
    return (sum + sum_pairs(even, x[0])) + sum_pairs(odd, x[1]);
  } else if constexpr (kProducts == Products::k8) {
    return multiply_add(sum, &w, x);
  } else if constexpr (kProducts != Products::k16) {
#if defined(__AVX2__) || (defined(__wasm_relaxed_simd__) && !defined(LORAPRESS_RELAXED_DOT))
    return sum + sum_pairs(pairs8(w, x[0]), broadcast_int(0x00010001));
#endif
  }
  return sum;
}

struct Rows8 {
  const std::byte* values;
  const float* scales;
  const int32_t* sums;
};

// Rows rows times Tiles tiles (one of the two is 1): sums [Rows or Tiles][16]. `weights` are the tiles, or one that
// is unpacked.
template <int Rows, int Tiles, Form8 Form>
static inline void multiply_strip8(const Rows8& rows,
                                   const std::byte* const* tiles,
                                   const std::byte* const* weights,
                                   int64_t padded,
                                   int64_t column,
                                   float* sums) {
  constexpr int kParts = Form == Form8::kBytes ? 1 : 2;
  constexpr int64_t kStep = Form == Form8::kUnpacked ? 2 * kTileFloats : kTileFloats;
  Ints sum[Rows * Tiles][kStrip] = {};
  for (int64_t k = 0; k < padded / 4; ++k) {
    LORAPRESS_UNROLLED
    for (int t = 0; t < Tiles; ++t) {
      const std::byte* w = weights[t] + (k * kStep) + column;
      LORAPRESS_UNROLLED
      for (int r = 0; r < Rows; ++r) {
        Ints x[kParts];
        LORAPRESS_UNROLLED
        for (int i = 0; i < kParts; ++i) {
          x[i] = broadcast(rows.values + ((((k * Rows) + r) * kParts) + i) * 4);
        }
        LORAPRESS_UNROLLED
        for (int c = 0; c < kStrip; ++c) {
          sum[r + t][c] = multiply_add8<Form>(sum[r + t][c], w + (c * kVectorBytes), x);
        }
      }
    }
  }
  LORAPRESS_UNROLLED
  for (int t = 0; t < Tiles; ++t) {
    const std::byte* channels = tiles[t] + (padded * kTile) + column;
    LORAPRESS_UNROLLED
    for (int r = 0; r < Rows; ++r) {
      LORAPRESS_UNROLLED
      for (int c = 0; c < kStrip; ++c) {
        const Ints zeros = load<Ints>(channels + kTileFloats + (c * kVectorBytes));
        const Floats scale = load<Floats>(channels + (c * kVectorBytes));
        const Ints whole = sum[r + t][c] - (zeros * broadcast_int(rows.sums[r]));
        store(reinterpret_cast<std::byte*>(sums + ((r + t) * kTile)) + column + (c * kVectorBytes),
              to_floats(whole) * (broadcast(rows.scales[r]) * scale));
      }
    }
  }
}

template <bool Wide>
static inline void multiply_many8(const LinearRun& run, const RowsView& view) {
  const int64_t padded = padded_inputs(run.linear->spec.inputs);
  for (int64_t tile = run.first_tile; tile < run.last_tile; ++tile) {
    const std::byte* packed = tile_at(*run.linear, tile);
    const std::byte* weights = packed;
    if constexpr (Wide) {
      unpack_tile8(packed, padded, run.scratch);
      weights = run.scratch;
    }
    constexpr Form8 kForm = Wide ? Form8::kUnpacked : Form8::kBytes;
    alignas(64) float sums[kGroup * kTile];
    for (int64_t row = 0; row < run.rows;) {
      const int64_t group = group_rows(row, run.quantized.rows);
      const Rows8 rows{view.values + (row * view.values_row), view.scales + row, view.sums + row};
      for (int strip = 0; strip < kStrips; ++strip) {
        const int64_t column = strip * kStrip * kVectorBytes;
        group == kGroup
            ? multiply_strip8<kGroup, 1, kForm>(rows, &packed, &weights, padded, column, sums)
            : multiply_strip8<1, 1, kForm>(rows, &packed, &weights, padded, column, sums);
      }
      store_tile(run, row, least(group, run.rows - row), tile * kTile, sums);
      row += group;
    }
  }
}

template <int Tiles, bool Wide>
static inline void multiply_tiles8(const LinearRun& run,
                                   const RowsView& view,
                                   int64_t first,
                                   int64_t step) {
  const std::byte* tiles[Tiles];
  LORAPRESS_UNROLLED
  for (int t = 0; t < Tiles; ++t) {
    tiles[t] = tile_at(*run.linear, first + (t * step));
  }
  const Rows8 rows{view.values, view.scales, view.sums};
  alignas(64) float sums[Tiles * kTile];
  for (int strip = 0; strip < kStrips; ++strip) {
    multiply_strip8<1, Tiles, Wide ? Form8::kWide : Form8::kBytes>(
        rows,
        tiles,
        tiles,
        padded_inputs(run.linear->spec.inputs),
        strip * kStrip * kVectorBytes,
        sums);
  }
  LORAPRESS_UNROLLED
  for (int t = 0; t < Tiles; ++t) {
    store_tile(run, 0, 1, (first + (t * step)) * kTile, sums + (t * kTile));
  }
}

template <bool Wide>
static inline void multiply_row8(const LinearRun& run, const RowsView& view) {
  const int64_t step = (run.last_tile - run.first_tile) / kStreams;
  for (int64_t tile = run.first_tile; tile < run.first_tile + step; ++tile) {
    multiply_tiles8<kStreams, Wide>(run, view, tile, step);
  }
  for (int64_t tile = run.first_tile + (step * kStreams); tile < run.last_tile; ++tile) {
    multiply_tiles8<1, Wide>(run, view, tile, 0);
  }
}

template <bool Wide>
static inline void multiply_channels8(const LinearRun& run) {
  const RowsView view = view_rows(run.quantized);
  if (run.rows == 1 && run.quantized.rows < kGroup) {
    multiply_row8<Wide>(run, view);
  } else {
    multiply_many8<Wide>(run, view);
  }
}

static inline void vec_channels8(const LinearRun& run) {
  run.quantized.form == RowForm::kRows16 ? multiply_channels8<true>(run)
                                         : multiply_channels8<false>(run);
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_VEC_CHANNELS8_H_
