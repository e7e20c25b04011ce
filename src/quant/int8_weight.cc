#include "quant/int8_weight.h"

#include <bit>
#include <cfloat>

#include "base/buffer.h"
#include "base/fail.h"
#include "base/simd.h"
#include "weights/float_rows.h"

namespace lorapress {
namespace {

// Adding 1.5 * 2^23 rounds to an integer, ties to even, and leaves it in the low bits of the sum.
constexpr float kRounder = 12582912.0F;

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

class Int8Weight final : public Weight {
 public:
  Int8Weight(WeightPtr source, Channels channels, std::vector<float> scales, DType dtype)
      : Weight(dtype, source->shape()),
        source_(std::move(source)),
        channels_(channels),
        scales_(std::move(scales)) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    // Adding 128 to a byte flips its highest bit.
    const uint8_t flip = dtype() == DType::kU8 ? kUint8ZeroPoint : 0;
    Buffer<float> scratch;
    const auto width = static_cast<size_t>(block.cols);
    for_float_rows(*source_, block, scratch, [&](int64_t first, const FloatRows& rows) {
      for (int64_t i = 0; i < rows.rows; ++i) {
        const float* from = rows.data + i * rows.pitch;
        auto* to = reinterpret_cast<uint8_t*>(out.data()) + static_cast<size_t>(first + i) * width;
        if (channels_ == Channels::kColumns) {
          quantize_columns(from, scales_.data() + block.col, to, width, flip);
        } else {
          const auto channel = static_cast<size_t>(block.row + first + i);
          quantize(from, to, width, scales_[channels_ == Channels::kAll ? 0 : channel], flip);
        }
      }
    });
  }

  [[nodiscard]] const Weight* source() const override { return source_.get(); }

 private:
  WeightPtr source_;
  Channels channels_;
  std::vector<float> scales_;
};

}  // namespace

WeightPtr quantize_int8(WeightPtr weight,
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
    return std::make_shared<Int8Weight>(std::move(weight), channels, std::move(scales), dtype);
  }
  const Channels turned = channels == Channels::kRows      ? Channels::kColumns
                          : channels == Channels::kColumns ? Channels::kRows
                                                           : Channels::kAll;
  return transpose(
      std::make_shared<Int8Weight>(transpose(std::move(weight)), turned, std::move(scales), dtype));
}

std::vector<float> int8_scales(const std::vector<float>& magnitudes, int steps) {
  std::vector<float> scales;
  for (const float magnitude : magnitudes) {
    const auto scale = static_cast<float>(static_cast<double>(magnitude) / steps);
    scales.push_back(scale < FLT_MIN ? 1.0F : scale);
  }
  return scales;
}

}  // namespace lorapress
