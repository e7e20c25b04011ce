#include "quant/int8_weight.h"

#include <bit>

#include "base/buffer.h"
#include "base/fail.h"
#include "base/simd.h"
#include "quant/exact.h"
#include "quant/quantized_weight.h"
#include "weights/float_rows.h"

namespace lorapress {
namespace {

inline uint8_t rounded(float value, uint8_t flip) {
  const auto bits = std::bit_cast<uint32_t>(value + kRounder);
  return static_cast<uint8_t>(static_cast<uint8_t>(bits) ^ flip);
}

LORAPRESS_SIMD void quantize(
    const float* values, uint8_t* out, size_t count, float scale, uint8_t flip) {
  for (size_t i = 0; i < count; ++i) {
    out[i] = rounded(values[i] / scale, flip);
  }
}

LORAPRESS_SIMD void quantize_columns(
    const float* values, const float* scales, uint8_t* out, size_t count, uint8_t flip) {
  for (size_t i = 0; i < count; ++i) {
    out[i] = rounded(values[i] / scales[i], flip);
  }
}

class Int8Weight final : public QuantizedWeight {
 public:
  Int8Weight(const std::string& name,
             WeightPtr matrix,
             Channels channels,
             std::vector<float> scales,
             DType dtype)
      : QuantizedWeight(dtype, matrix->shape(), name, matrix),
        channels_(channels),
        scales_(std::move(scales)) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    // Adding 128 to a byte flips its highest bit.
    const uint8_t flip = dtype() == DType::kU8 ? kUint8ZeroPoint : 0;
    Buffer<float> scratch;
    const auto width = static_cast<size_t>(block.cols);
    for_float_rows(matrix(), block, scratch, [&](int64_t first, const FloatRows& rows) {
      for (int64_t i = 0; i < rows.rows; ++i) {
        const float* from = rows.data + i * rows.pitch;
        auto* to = reinterpret_cast<uint8_t*>(out.data()) + static_cast<size_t>(first + i) * width;
        if (channels_ == Channels::kColumns) {
          quantize_columns(from, scales_.data() + block.col, to, width, flip);
        } else {
          quantize(from, to, width, scale(block.row + first + i, 0), flip);
        }
      }
    });
  }

  void restore(int64_t row,
               int64_t rows,
               std::span<float> original,
               std::span<float> restored) const override {
    const Block block{row, rows, 0, cols()};
    matrix().read_floats(block, original);
    std::vector<std::byte> stored(block.elements());
    read(block, stored);
    for (size_t i = 0; i < stored.size(); ++i) {
      const auto code = static_cast<uint8_t>(stored[i]);
      const int integer =
          dtype() == DType::kU8 ? code - kUint8ZeroPoint : static_cast<int8_t>(code);
      const auto at = static_cast<int64_t>(i);
      restored[i] = static_cast<float>(integer) * scale(row + at / cols(), at % cols());
    }
  }

 protected:
  [[nodiscard]] bool same_parameters(const Weight& other) const override {
    const auto& theirs = static_cast<const Int8Weight&>(other);
    return channels_ == theirs.channels_ && scales_ == theirs.scales_;
  }

 private:
  [[nodiscard]] float scale(int64_t row, int64_t col) const {
    const int64_t channel = channels_ == Channels::kAll    ? 0
                            : channels_ == Channels::kRows ? row
                                                           : col;
    return scales_[static_cast<size_t>(channel)];
  }

  Channels channels_;
  std::vector<float> scales_;
};

}  // namespace

WeightPtr quantize_int8(const std::string& name,
                        WeightPtr weight,
                        Channels channels,
                        std::vector<float> scales,
                        DType dtype) {
  const int64_t expected = channels == Channels::kAll    ? 1
                           : channels == Channels::kRows ? weight->rows()
                                                         : weight->cols();
  if (std::ssize(scales) != expected || weight->shape().size() != 2) {
    fail(ErrorCode::kInvalidArgument,
         "{} scales for a weight of [{}], expected {}",
         scales.size(),
         fmt::join(weight->shape(), ", "),
         expected);
  }
  if (weight->row_wise()) {
    return std::make_shared<Int8Weight>(
        name, std::move(weight), channels, std::move(scales), dtype);
  }
  const Channels transposed = channels == Channels::kRows      ? Channels::kColumns
                              : channels == Channels::kColumns ? Channels::kRows
                                                               : Channels::kAll;
  return transpose(std::make_shared<Int8Weight>(
      name, transpose(std::move(weight)), transposed, std::move(scales), dtype));
}

std::vector<float> int8_scales(const std::vector<float>& magnitudes, int steps) {
  std::vector<float> scales;
  for (const float magnitude : magnitudes) {
    const auto scale = static_cast<float>(static_cast<double>(magnitude) / steps);
    scales.push_back(scale < kLeastScale ? 1.0F : scale);
  }
  return scales;
}

}  // namespace lorapress
