// Blocks of weights as 4-bit integers: the scales and zero points that MatMulNBits reads, and the
// integers packed as it reads them (onnxruntime/docs/ContribOperators.md). A restored value is
// scale * (integer - zero point) with integers 0 to 15.
#ifndef LORAPRESS_QUANT_ROUNDING_H_
#define LORAPRESS_QUANT_ROUNDING_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "lorapress/quantize.h"

namespace lorapress {

inline constexpr uint8_t kDefaultZeroPoint = 8;

// Rows of blocks: values[row][block][block_size], a ragged last block filled up with zeros, which
// change neither a scale nor an error and become the zero point.
struct BlockRows {
  const float* values;
  size_t rows;
  size_t blocks;      // of a row
  size_t block_size;  // a multiple of 16, at most 256
  [[nodiscard]] size_t count() const { return rows * blocks; }
};

bool all_finite(std::span<const float> values);
// Throws kInvalidFile for values of this tensor that blocks of 4 bit cannot hold.
void require_finite_blocks(const std::string& tensor, std::span<const float> values);

// Scales as onnxruntime's own quantizer takes them (onnxruntime/core/mlas/lib/q4_dq.cpp):
// symmetric, -8 stands for the value of largest magnitude, so that a scale may be negative; with
// zero points, 0 and 15 stand for the ends of the range, which holds 0. `zero_points` is empty for
// symmetric blocks; both outputs hold rows.count() elements.
void nearest_scales(const BlockRows& rows, std::span<float> scales, std::span<uint8_t> zero_points);

// The scales (and zero points) of least weighted squared error among candidates around the nearest
// ones, each improved by least squares as in llama.cpp (ggml-quants.c, make_qx_quants). An error
// weighs the `importance` of its column (blocks * block_size of them) or, where that is empty,
// mean(x^2) + x^2 of its block.
void searched_scales(const BlockRows& rows,
                     std::span<const float> importance,
                     std::span<float> scales,
                     std::span<uint8_t> zero_points);

// The integers nearest to the values under these scales, two to a byte, the first in the low half:
// packed[row][block][block_size / 2]. Halves are rounded away from zero. Empty zero points: all 8.
void pack_blocks(const BlockRows& rows,
                 std::span<const float> scales,
                 std::span<const uint8_t> zero_points,
                 std::span<uint8_t> packed);

// What a runtime makes of the packed blocks.
void restore_blocks(std::span<const uint8_t> packed,
                    std::span<const float> scales,
                    std::span<const uint8_t> zero_points,
                    size_t block_size,
                    std::span<float> values);

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_ROUNDING_H_
