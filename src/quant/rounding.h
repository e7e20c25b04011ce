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

// Rows of blocks: values[row][block][block_size]. A ragged last block is padded with zeros, which
// change neither a scale nor an error and are stored as the zero point.
struct BlockRows {
  const float* values;
  size_t rows;
  size_t blocks;      // per row
  size_t block_size;  // a multiple of 16, at most 256
  [[nodiscard]] size_t count() const { return rows * blocks; }
};

bool all_finite(std::span<const float> values);
// Throws kInvalidFile, naming the tensor, where a value is not finite.
void require_finite_blocks(const std::string& tensor, std::span<const float> values);

// Scales as onnxruntime's own quantizer chooses them (onnxruntime/core/mlas/lib/q4_dq.cpp).
// Symmetric: -8 stands for the value of largest magnitude, so that a scale may be negative. With
// zero points: 0 and 15 stand for the ends of the range, which is extended to include 0.
// `zero_points` is empty for symmetric blocks; both outputs hold rows.count() elements.
void nearest_scales(const BlockRows& rows, std::span<float> scales, std::span<uint8_t> zero_points);

// The scales (and zero points) with the least weighted squared error among candidates around the
// nearest ones, each improved by least squares as in llama.cpp (ggml-quants.c, make_qx_quants). The
// weight of an error is the `importance` of its column (blocks * block_size values) or, where
// `importance` is empty, mean(x^2) + x^2 of its block.
void searched_scales(const BlockRows& rows,
                     std::span<const float> importance,
                     std::span<float> scales,
                     std::span<uint8_t> zero_points);

// The integers nearest to values / scales + zero points, two per byte, the first in the low half:
// packed[row][block][block_size / 2]. Halves are rounded up. An empty `zero_points` means that all
// are 8.
void pack_blocks(const BlockRows& rows,
                 std::span<const float> scales,
                 std::span<const uint8_t> zero_points,
                 std::span<uint8_t> packed);

// The values that a runtime restores from the packed blocks.
void restore_blocks(std::span<const uint8_t> packed,
                    std::span<const float> scales,
                    std::span<const uint8_t> zero_points,
                    size_t block_size,
                    std::span<float> values);

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_ROUNDING_H_
