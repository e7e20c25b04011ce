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
