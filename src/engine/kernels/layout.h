// Where things lie in packed weights and quantized rows. Functions of this folder's inner headers
// are static: they are compiled once for each instruction set, and the linker must not merge them.
#ifndef LORAPRESS_ENGINE_KERNELS_LAYOUT_H_
#define LORAPRESS_ENGINE_KERNELS_LAYOUT_H_

#include "engine/kernels/kernels.h"

namespace lorapress::kernels {

template <typename Number>
static inline Number least(Number a, Number b) {
  return a < b ? a : b;
}
template <typename Number>
static inline Number most(Number a, Number b) {
  return a > b ? a : b;
}
static inline int64_t round_up(int64_t value, int64_t step) {
  return (value + step - 1) / step * step;
}

// Inputs of integer forms, with the zeros that fill the last block.
static inline int64_t padded_inputs(int64_t inputs) {
  return round_up(inputs, kBlock);
}

// ---- packed weights: one tile after another ----------------------------------------------------
//
// kBlocks4, for each block of 32 inputs:
//   [4 p][16 outputs][4 bytes]  byte i: input 8 p + i in the low half, 8 p + 4 + i in the high half
//   [16] float32 scales
//   [16][2] int16 zero points, each twice, if there are any
// kChannels8:  [padded inputs / 4][16 outputs][4 inputs] uint8 (integer + offset), then
//              [16] float32 scales, [16] int32 zero points + offset
// kFloat32, kFloat16:  [inputs][16 outputs]
// Blocks of 16 (packed as float32): behind all tiles the scales [tiles * 16][blocks] float32 and the
//   zero points [tiles * 16][blocks] uint8, which finish_packing applies.

inline constexpr int64_t kNibbleBytes = kBlock / 2 * kTile;  // of a block of a tile
inline constexpr int64_t kTileFloats = kTile * 4;            // bytes of a float for each output
inline constexpr int64_t kSmallBlock = 16;

static inline bool is_small_block(const LinearSpec& spec) {
  return spec.kind == WeightKind::kBlocks4 && spec.block_size < kBlock;
}
static inline WeightKind packed_kind(const LinearSpec& spec) {
  return is_small_block(spec) ? WeightKind::kFloat32 : spec.kind;
}
static inline int64_t block_bytes(const LinearSpec& spec) {
  return kNibbleBytes + kTileFloats + (spec.zero_points ? kTileFloats : 0);
}
static inline int64_t tile_bytes(const LinearSpec& spec) {
  switch (packed_kind(spec)) {
    case WeightKind::kBlocks4:
      return padded_inputs(spec.inputs) / kBlock * block_bytes(spec);
    case WeightKind::kChannels8:
      return (padded_inputs(spec.inputs) * kTile) + (2 * kTileFloats);
    case WeightKind::kFloat32:
      return spec.inputs * kTileFloats;
    case WeightKind::kFloat16:
      break;
  }
  return round_up(spec.inputs * kTileFloats / 2, static_cast<int64_t>(kAlignment));
}
static inline std::byte* tile_at(const PackedLinear& linear, int64_t tile) {
  return linear.data + (tile * tile_bytes(linear.spec));
}

// Weights of about so many bytes stay in the second cache while all rows pass.
inline constexpr int64_t kCachedWeights = int64_t{1} << 18;

// ---- quantized rows ----------------------------------------------------------------------------
//
// Rows stand in groups of four; the last ones, fewer than four, are groups of one.
//   values, of each group:  [padded inputs / 4][group's rows][4 inputs] int8, or int16 in the order
//                           0, 2, 1, 3 (what masks leave of a 32-bit lane with 4 bytes)
//   kBlocks8, kBlocks16:    [padded inputs / 32][group's rows] float32 scales of each group, then as
//                           many pairs of int16: -8 * (sum of the integers of inputs 0, 1 of each 4;
//                           of inputs 2, 3), where sums of products with zero point 8 begin; then the int32 sums
//                           of the pairs + kFloatBits, where sums in 32 bits begin
//   kRows8, kRows16:        [rows] float32 scales, then [rows] int32 sums of the integers

inline constexpr int64_t kGroup = 4;

// A block's sum in 32 bits is below 2^22, so that sum + kFloatBits is the bits of the float kFloatBase + sum: one
// subtraction makes the sum's float of it, on units that products leave free.
inline constexpr int32_t kFloatBits = 0x4B400000;
inline constexpr float kFloatBase = 0x1.8p23F;

static inline bool has_blocks(RowForm form) {
  return form == RowForm::kBlocks8 || form == RowForm::kBlocks16;
}
static inline int64_t value_bytes(RowForm form) {
  return form == RowForm::kBlocks16 || form == RowForm::kRows16 ? 2 : 1;
}

struct RowsView {
  std::byte* values;
  float* scales;
  int32_t* sums;       // kRows8, kRows16
  int16_t* starts;     // kBlocks8, kBlocks16
  int32_t* totals;     // kBlocks8, kBlocks16
  int64_t values_row;  // bytes of one row's values
  int64_t blocks;      // scales of a row
};

static inline RowsView view_rows(const QuantizedRows& rows) {
  RowsView view{};
  const int64_t padded = padded_inputs(rows.inputs);
  view.values = rows.data;
  view.values_row = padded * value_bytes(rows.form);
  view.blocks = has_blocks(rows.form) ? padded / kBlock : 1;
  const int64_t at = round_up(view.values_row * rows.rows, static_cast<int64_t>(kAlignment));
  view.scales = reinterpret_cast<float*>(rows.data + at);
  std::byte* behind = rows.data + at + (view.blocks * rows.rows * 4);
  view.sums = reinterpret_cast<int32_t*>(behind);
  view.starts = reinterpret_cast<int16_t*>(behind);
  view.totals = reinterpret_cast<int32_t*>(behind + (view.blocks * rows.rows * 4));
  return view;
}

// How many rows the group has that begins at `row`, a multiple of 4 or behind the last multiple.
static inline int64_t group_rows(int64_t row, int64_t rows) {
  return row % kGroup == 0 && row + kGroup <= rows ? kGroup : 1;
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_LAYOUT_H_
