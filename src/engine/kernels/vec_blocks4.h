// Products of 4-bit blocks. A block of 32 inputs is summed in integers: in 16 bits where the set adds pairs (|sum of
// (w - zero) x| <= 16 * 15 * 127 fits), otherwise in 32 bits; then once a block in float32.
#ifndef LORAPRESS_ENGINE_KERNELS_VEC_BLOCKS4_H_
#define LORAPRESS_ENGINE_KERNELS_VEC_BLOCKS4_H_

#include "engine/kernels/vec_epilogue.h"

namespace lorapress::kernels {

inline constexpr int64_t kSteps = kBlock / 4;  // groups of 4 inputs in a block
inline constexpr int64_t kOperand =
    kProducts == Products::k16 ? 2 : 1;  // bytes of an integer in products
inline constexpr int kVectors = static_cast<int>(kTile / kLanes);  // of a tile
inline constexpr int kStrip = kVectors < 2 ? kVectors : 2;  // vectors that are summed together
inline constexpr int kStrips = kVectors / kStrip;
inline constexpr int kTogether =
    kVectors < 2 ? 4 : 8 / kVectors;  // rows whose sums of a tile fit the registers

// sum + w x over 4 inputs of each output. With 16-bit operands w and x are two vectors each.
static inline Ints multiply_add(Ints sum, const Ints* w, const Ints* x) {
  if constexpr (kProducts == Products::k8) {
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__) || defined(__ARM_FEATURE_MATMUL_INT8) || \
    defined(LORAPRESS_RELAXED_DOT)
    return dot8(sum, w[0], x[0]);
#endif
  } else if constexpr (kProducts == Products::k16) {
    return (sum + sum_pairs(w[0], x[0])) + sum_pairs(w[1], x[1]);
  } else {
#if defined(__AVX2__) || (defined(__wasm_relaxed_simd__) && !defined(LORAPRESS_RELAXED_DOT))
    return add16(sum, pairs8(w[0], x[0]));
#endif
  }
  return sum;
}

// Where the sum of a block begins: -zero * (sum of the lane's activations), so that the zero point costs
// nothing later. `zeros` holds each output's zero point twice in 16 bits.
inline constexpr bool kWhole =
    kProducts == Products::k8 || kProducts == Products::k16;  // in 32 bits
template <bool Zeros>
static inline Ints block_start(const int16_t* starts, const int32_t* totals, Ints zeros) {
  if constexpr (kWhole && !Zeros) {
    return broadcast(totals);
  }
  Ints start = broadcast(starts);
  if constexpr (Zeros) {  // -8 a becomes -zero a
    const auto eighth = reinterpret_cast<Ints>(reinterpret_cast<Shorts>(start) >> 3);
    start = multiply16(eighth, zeros);
  }
  if constexpr (kWhole) {
    start = sum_pairs(start, broadcast_int(0x00010001)) + broadcast_int(kFloatBits);
  }
  return start;
}

static inline Floats block_sum(Ints sum) {
  if constexpr (kWhole) {
    return reinterpret_cast<Floats>(sum) - broadcast(kFloatBase);
  }
  return to_floats(sum_pairs(sum, broadcast_int(0x00010001)));
}

// Nibbles of 4 inputs in the low halves of bytes, and of 4 in the high ones, as operands.
static inline void split_nibbles(Ints w, Ints* low, Ints* high) {
  if constexpr (kOperand == 1) {
    low[0] = w & 0x0F0F0F0F;
    high[0] = shift_right(w, 4) & 0x0F0F0F0F;
  } else {
    low[0] = w & 0x000F000F;
    low[1] = shift_right(w, 8) & 0x000F000F;
    high[0] = shift_right(w, 4) & 0x000F000F;
    high[1] = shift_right16(w, 12);
  }
}

// A block's nibbles as operands: [8 groups of 4 inputs][kOperand][16 outputs][4 bytes], in the order of rows' values.
static inline void unpack_block4(const std::byte* from, std::byte* to) {
  for (int64_t p = 0; p < 4; ++p) {
    for (int64_t c = 0; c < kTileFloats; c += kVectorBytes) {
      const Ints w = load<Ints>(from + (p * kTileFloats) + c);
      Ints low[kOperand];
      Ints high[kOperand];
      split_nibbles(w, low, high);
      std::byte* at = to + (2 * p * kTileFloats * kOperand) + c;
      for (int i = 0; i < kOperand; ++i) {
        store(at + (i * kTileFloats), low[i]);
        store(at + ((kOperand + i) * kTileFloats), high[i]);
      }
    }
  }
}

// Activations of `Rows` rows that stand together.
struct Blocks4Rows {
  const std::byte* values;
  const float* scales;
  const int16_t* starts;
  const int32_t* totals;

  // Those from row r of the group on.
  [[nodiscard]] Blocks4Rows from(int r) const {
    return {values + (r * 4 * kOperand), scales + r, starts + (r * 2), totals + r};
  }
};

// sum[r][c] += w[c] x[r] over 4 inputs. What there is less of stays in registers, inputs or weights.
template <int Rows>
LORAPRESS_STEP void unpacked_step4(const std::byte* values,
                                   const std::byte* weights,
                                   Ints (&sum)[Rows][kVectors]) {
  constexpr bool kKeepInputs = Rows <= kVectors;
  Ints x[Rows][kOperand];
  Ints w[kVectors][kOperand];
  LORAPRESS_UNROLLED
  for (int outer = 0; outer < (kKeepInputs ? kVectors : Rows); ++outer) {
    LORAPRESS_UNROLLED
    for (int inner = 0; inner < (kKeepInputs ? Rows : kVectors); ++inner) {
      const int r = kKeepInputs ? inner : outer;
      const int c = kKeepInputs ? outer : inner;
      LORAPRESS_UNROLLED
      for (int i = 0; i < kOperand; ++i) {
        if (c == 0) {
          x[r][i] = broadcast(values + (((r * kOperand) + i) * 4));
        }
        if (r == 0) {
          w[c][i] = load<Ints>(weights + (i * kTileFloats) + (c * kVectorBytes));
        }
      }
      sum[r][c] = multiply_add(sum[r][c], w[c], x[r]);
      pin(sum[r][c]);
    }
  }
}

// A tile whose nibbles were unpacked, times Rows rows of a group of Group: sums [Rows][16].
template <int Rows, int Group, bool Zeros>
static inline void multiply_unpacked4(Blocks4Rows rows,
                                      const std::byte* tile,
                                      int64_t block_step,
                                      const std::byte* unpacked,
                                      int64_t blocks,
                                      float* sums) {
  const std::byte* scales = tile + kNibbleBytes;
  Floats total[Rows][kVectors] = {};
  for (int64_t b = 0; b < blocks; ++b) {
    Ints sum[Rows][kVectors];
    LORAPRESS_UNROLLED
    for (int r = 0; r < Rows; ++r) {
      LORAPRESS_UNROLLED
      for (int c = 0; c < kVectors; ++c) {
        const Ints zeros = Zeros ? load<Ints>(scales + kTileFloats + (c * kVectorBytes)) : Ints{};
        sum[r][c] = block_start<Zeros>(rows.starts + (r * 2), rows.totals + r, zeros);
      }
    }
    LORAPRESS_UNROLLED
    for (int step = 0; step < kSteps; ++step) {
      unpacked_step4<Rows>(rows.values + (step * Group * kOperand * 4),
                           unpacked + (step * kOperand * kTileFloats),
                           sum);
    }
    LORAPRESS_UNROLLED
    for (int c = 0; c < kVectors; ++c) {
      const Floats scale = load<Floats>(scales + (c * kVectorBytes));
      LORAPRESS_UNROLLED
      for (int r = 0; r < Rows; ++r) {
        total[r][c] = total[r][c] + (block_sum(sum[r][c]) * broadcast(rows.scales[r])) * scale;
        pin_wasm(total[r][c]);
      }
    }
    scales += block_step;
    unpacked += kSteps * kTileFloats * kOperand;
    rows.values += kBlock * Group * kOperand;
    rows.scales += Group;
    rows.starts += Group * 2;
    rows.totals += Group;
    pin_wasm(scales);
    pin_wasm(unpacked);
    pin_wasm(rows.values);
    pin_wasm(rows.scales);
    pin_wasm(rows.starts);
    pin_wasm(rows.totals);
  }
  LORAPRESS_UNROLLED
  for (int r = 0; r < Rows; ++r) {
    LORAPRESS_UNROLLED
    for (int c = 0; c < kVectors; ++c) {
      store(sums + (r * kTile) + (c * kLanes), total[r][c]);
    }
  }
}

template <bool Zeros>
static inline void multiply_many4(const LinearRun& run, const RowsView& view) {
  const LinearSpec& spec = run.linear->spec;
  const int64_t block_step = block_bytes(spec);
  for (int64_t tile = run.first_tile; tile < run.last_tile; ++tile) {
    const std::byte* packed = tile_at(*run.linear, tile);
    for (int64_t b = 0; b < view.blocks; ++b) {
      unpack_block4(packed + (b * block_step), run.scratch + (b * kSteps * kTileFloats * kOperand));
    }
    alignas(64) float sums[kGroup * kTile];
    for (int64_t row = 0; row < run.rows;) {
      const int64_t group = group_rows(row, run.quantized.rows);
      const Blocks4Rows rows{view.values + (row * view.values_row),
                             view.scales + (row * view.blocks),
                             view.starts + (row * view.blocks * 2),
                             view.totals + (row * view.blocks)};
      if (group == kGroup) {
        for (int r = 0; r < kGroup; r += kTogether) {
          multiply_unpacked4<kTogether, kGroup, Zeros>(
              rows.from(r), packed, block_step, run.scratch, view.blocks, sums + (r * kTile));
        }
      } else {
        multiply_unpacked4<1, 1, Zeros>(rows, packed, block_step, run.scratch, view.blocks, sums);
      }
      store_tile(run, row, least(group, run.rows - row), tile * kTile, sums);
      row += group;
    }
  }
}

// ---- one row -------------------------------------------------------------------------------------

// kStrip vectors of outputs of `Tiles` tiles over a block of one row: sums, from the nibbles. `block` are the places of the
// vectors in each tile's block.
template <int Tiles, bool Zeros>
LORAPRESS_STEP void multiply_block4(const Blocks4Rows& row,
                                    const std::byte* const (&block)[Tiles],
                                    Ints (&sum)[Tiles][kStrip]) {
  LORAPRESS_UNROLLED
  for (int t = 0; t < Tiles; ++t) {
    LORAPRESS_UNROLLED
    for (int c = 0; c < kStrip; ++c) {
      const Ints zeros =
          Zeros ? load<Ints>(block[t] + kNibbleBytes + kTileFloats + (c * kVectorBytes)) : Ints{};
      sum[t][c] = block_start<Zeros>(row.starts, row.totals, zeros);
    }
  }
  LORAPRESS_UNROLLED
  for (int p = 0; p < 4; ++p) {
    Ints x[2][kOperand];
    LORAPRESS_UNROLLED
    for (int i = 0; i < kOperand; ++i) {
      x[0][i] = broadcast(row.values + ((2 * p * kOperand) + i) * 4);
      x[1][i] = broadcast(row.values + ((((2 * p) + 1) * kOperand) + i) * 4);
    }
    LORAPRESS_UNROLLED
    for (int t = 0; t < Tiles; ++t) {
      LORAPRESS_UNROLLED
      for (int c = 0; c < kStrip; ++c) {
        const Ints w = load<Ints>(block[t] + (p * kTileFloats) + (c * kVectorBytes));
        Ints low[kOperand];
        Ints high[kOperand];
        split_nibbles(w, low, high);
        sum[t][c] = multiply_add(multiply_add(sum[t][c], low, x[0]), high, x[1]);
        pin(sum[t][c]);
      }
    }
  }
}

// One row times `Tiles` tiles: they lie far apart, so that the memory is read in as many streams, each from its beginning
// to its end.
template <int Tiles, bool Zeros>
static inline void multiply_one4(Blocks4Rows row,
                                 const std::byte* const (&from)[Tiles],
                                 int64_t block_step,
                                 int64_t blocks,
                                 float* sums) {
  const std::byte* tiles[Tiles];
  LORAPRESS_UNROLLED
  for (int t = 0; t < Tiles; ++t) {
    tiles[t] = from[t];
  }
  Floats total[Tiles][kVectors] = {};
  for (int64_t b = 0; b < blocks; ++b) {
    LORAPRESS_UNROLLED
    for (int strip = 0; strip < kVectors; strip += kStrip) {
      const std::byte* block[Tiles];
      LORAPRESS_UNROLLED
      for (int t = 0; t < Tiles; ++t) {
        block[t] = tiles[t] + (strip * kVectorBytes);
      }
      Ints sum[Tiles][kStrip];
      multiply_block4<Tiles, Zeros>(row, block, sum);
      const Floats row_scale = broadcast(*row.scales);
      LORAPRESS_UNROLLED
      for (int t = 0; t < Tiles; ++t) {
        LORAPRESS_UNROLLED
        for (int c = 0; c < kStrip; ++c) {
          const Floats scale = load<Floats>(block[t] + kNibbleBytes + (c * kVectorBytes));
          Floats& to = total[t][strip + c];
          to = to + (block_sum(sum[t][c]) * row_scale) * scale;
          pin_wasm(to);
        }
      }
    }
    LORAPRESS_UNROLLED
    for (int t = 0; t < Tiles; ++t) {
      tiles[t] += block_step;
      pin_wasm(tiles[t]);
    }
    row.values += kBlock * kOperand;
    row.scales += 1;
    row.starts += 2;
    row.totals += 1;
    pin_wasm(row.values);
    pin_wasm(row.scales);
    pin_wasm(row.starts);
    pin_wasm(row.totals);
  }
  LORAPRESS_UNROLLED
  for (int t = 0; t < Tiles; ++t) {
    LORAPRESS_UNROLLED
    for (int c = 0; c < kVectors; ++c) {
      store(sums + (t * kTile) + (c * kLanes), total[t][c]);
    }
  }
}

inline constexpr int kStreams = 4;

template <int Tiles, bool Zeros>
static inline void multiply_tiles4(const LinearRun& run,
                                   const RowsView& view,
                                   int64_t first,
                                   int64_t step) {
  const std::byte* tiles[Tiles];
  LORAPRESS_UNROLLED
  for (int t = 0; t < Tiles; ++t) {
    tiles[t] = tile_at(*run.linear, first + (t * step));
  }
  const Blocks4Rows rows{view.values, view.scales, view.starts, view.totals};
  alignas(64) float sums[Tiles * kTile];
  multiply_one4<Tiles, Zeros>(rows, tiles, block_bytes(run.linear->spec), view.blocks, sums);
  LORAPRESS_UNROLLED
  for (int t = 0; t < Tiles; ++t) {
    store_tile(run, 0, 1, (first + (t * step)) * kTile, sums + (t * kTile));
  }
}

template <bool Zeros>
static inline void multiply_row4(const LinearRun& run, const RowsView& view) {
  const int64_t step = (run.last_tile - run.first_tile) / kStreams;
  for (int64_t tile = run.first_tile; tile < run.first_tile + step; ++tile) {
    multiply_tiles4<kStreams, Zeros>(run, view, tile, step);
  }
  for (int64_t tile = run.first_tile + (step * kStreams); tile < run.last_tile; ++tile) {
    multiply_tiles4<1, Zeros>(run, view, tile, 0);
  }
}

static inline void vec_blocks4(const LinearRun& run) {
  const RowsView view = view_rows(run.quantized);
  const bool zeros = run.linear->spec.zero_points;
  if (run.rows == 1 && run.quantized.rows < kGroup) {
    zeros ? multiply_row4<true>(run, view) : multiply_row4<false>(run, view);
  } else {
    zeros ? multiply_many4<true>(run, view) : multiply_many4<false>(run, view);
  }
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_VEC_BLOCKS4_H_
