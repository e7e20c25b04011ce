// How the tensors of each kind of weight are packed; pack.cc chooses.
#ifndef LORAPRESS_ENGINE_KERNELS_PACK_H_
#define LORAPRESS_ENGINE_KERNELS_PACK_H_

#include <cstring>

#include "engine/kernels/layout.h"
#include "engine/kernels/math.h"

namespace lorapress::kernels {

inline constexpr int kDefaultZero4 = 8;

// Bytes of one part of a weight, as pack_bytes has them.
struct Piece {
  size_t offset;
  const std::byte* bytes;
  size_t size;
};

// Vectors of 128 bits, which every build has in some form.
using Bytes16 = uint8_t __attribute__((vector_size(16)));
using Shorts8 = uint16_t __attribute__((vector_size(16)));
using Words4 = uint32_t __attribute__((vector_size(16)));
template <typename Vector>
static inline Vector load16(const std::byte* from) {
  Vector value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <typename Vector>
static inline void store16(std::byte* to, Vector value) {
  std::memcpy(to, &value, sizeof value);
}
// Four rows of four 32-bit numbers become four columns.
static inline void transpose4(Words4 (&r)[4]) {
  const Words4 ab_low = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
  const Words4 ab_high = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
  const Words4 cd_low = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
  const Words4 cd_high = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
  r[0] = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
  r[1] = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
  r[2] = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
  r[3] = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

static inline int64_t blocks_of(const LinearSpec& spec) {
  return (spec.inputs + spec.block_size - 1) / spec.block_size;
}

void pack_nibbles(const PackedLinear& linear, const Piece& piece);
void pack_scales4(const PackedLinear& linear, const Piece& piece);
void pack_zeros4(const PackedLinear& linear, const Piece& piece);
void finish_small_blocks(const PackedLinear& linear);

void pack_integers(const PackedLinear& linear, const Piece& piece);
void pack_scales8(const PackedLinear& linear, const Piece& piece);
void pack_zeros8(const PackedLinear& linear, const Piece& piece);
void finish_integers(PackedLinear& linear, Products products);

// Takes whole tiles of a part of `row_bytes` an output from the front of a piece that begins with one: put(tile, bytes).
// What is left is returned.
template <typename Put>
static inline Piece take_tiles(const LinearSpec& spec,
                               int64_t row_bytes,
                               Piece piece,
                               const Put& put) {
  const int64_t step = row_bytes * kTile;
  int64_t tile = static_cast<int64_t>(piece.offset) / step;
  const bool whole = static_cast<int64_t>(piece.offset) % step == 0;
  while (whole && static_cast<int64_t>(piece.size) >= step && (tile + 1) * kTile <= spec.outputs) {
    put(tile++, piece.bytes);
    piece.offset += static_cast<size_t>(step);
    piece.bytes += step;
    piece.size -= static_cast<size_t>(step);
  }
  return piece;
}

// Visits the elements of a piece as runs along the file's rows: (output, input, count, bytes).
template <typename Visit>
static inline void for_each_run(const LinearSpec& spec,
                                int64_t element,
                                const Piece& piece,
                                const Visit& visit) {
  const bool outputs_first = spec.order == WeightOrder::kOutputsFirst;
  const int64_t width = outputs_first ? spec.inputs : spec.outputs;
  const std::byte* bytes = piece.bytes;
  int64_t at = static_cast<int64_t>(piece.offset) / element;
  int64_t left = static_cast<int64_t>(piece.size) / element;
  while (left > 0) {
    const int64_t row = at / width;
    const int64_t column = at % width;
    const int64_t count = least(width - column, left);
    outputs_first ? visit(row, column, count, bytes) : visit(column, row, count, bytes);
    bytes += count * element;
    at += count;
    left -= count;
  }
}

}  // namespace lorapress::kernels

#endif  // LORAPRESS_ENGINE_KERNELS_PACK_H_
