#include "weights/dequantized.h"

#include <algorithm>

#include "base/convert.h"
#include "base/fail.h"

namespace lorapress {
namespace {

constexpr uint64_t kBatch = uint64_t{1} << 20;  // elements unpacked at a time

uint64_t blocks_of(uint64_t count, int64_t block) {
  const auto size = static_cast<uint64_t>(block);
  return count / size + (count % size != 0 ? 1 : 0);
}

void require(bool fits, std::string_view what) {
  if (!fits) {
    fail(ErrorCode::kInvalidFile, "{}", what);
  }
}

// Elements [first, first + count) of a float32 weight.
std::vector<float> floats_at(const Weight& weight, uint64_t first, uint64_t count) {
  std::vector<float> values(count);
  read_bytes(weight, first * sizeof(float), std::as_writable_bytes(std::span(values)));
  return values;
}

class FourBitWeight final : public Weight {
 public:
  FourBitWeight(FourBit parts, DType dtype, Shape shape)
      : Weight(dtype, std::move(shape)), parts_(std::move(parts)) {
    require(parts_.block > 0 && parts_.map.size() == 16, "a map of 16 values and a block size");
    require(parts_.packed->bytes() == blocks_of(values(), 2),
            fmt::format("{} bytes of 4-bit codes for {} values", parts_.packed->bytes(), values()));
    const uint64_t blocks = blocks_of(values(), parts_.block);
    require(parts_.scales->values() == blocks,
            fmt::format("{} scales, expected {}", parts_.scales->values(), blocks));
    const auto& nested = parts_.nested;
    require(parts_.scales->dtype() == (nested ? DType::kU8 : DType::kF32),
            fmt::format("scales in {}", dtype_name(parts_.scales->dtype())));
    if (nested) {
      require(nested->block > 0 && nested->map.size() == 256 &&
                  nested->absmax->dtype() == DType::kF32 &&
                  nested->absmax->values() == blocks_of(blocks, nested->block),
              "the scales of the scales do not fit");
    }
  }

  void read(const Block& block, std::span<std::byte> out) const override {
    std::vector<float> values(block.elements());
    unpack(block, values);
    from_float32(dtype(), values, out);
  }

  void read_floats(const Block& block, std::span<float> out) const override {
    unpack(block, out);
    if (dtype() != DType::kF32) {
      std::vector<std::byte> stored(block.elements() * dtype_size(dtype()));
      from_float32(dtype(), out, stored);
      to_float32(dtype(), stored, out);
    }
  }

 private:
  // Reads whole rows of codes and unpacks the block's columns.
  void unpack(const Block& block, std::span<float> out) const {
    const auto width = static_cast<uint64_t>(cols());
    const auto step =
        static_cast<int64_t>(std::max<uint64_t>(1, kBatch / std::max<uint64_t>(width, 1)));
    for (int64_t done = 0; done < block.rows; done += step) {
      const int64_t rows = std::min(step, block.rows - done);
      const auto first = static_cast<uint64_t>(block.row + done) * width;
      const Codes codes = read_codes(first, static_cast<uint64_t>(rows) * width);
      for (int64_t row = 0; row < rows; ++row) {
        const uint64_t from =
            first + static_cast<uint64_t>(row) * width + static_cast<uint64_t>(block.col);
        unpack_run(codes,
                   from,
                   out.subspan(static_cast<size_t>((done + row) * block.cols),
                               static_cast<size_t>(block.cols)));
      }
    }
  }

  struct Codes {
    std::vector<std::byte> bytes;
    uint64_t first_byte = 0;
    std::vector<float> scales;
    uint64_t first_block = 0;
  };

  [[nodiscard]] Codes read_codes(uint64_t first, uint64_t count) const {
    Codes codes;
    if (count == 0) {
      return codes;
    }
    const auto block = static_cast<uint64_t>(parts_.block);
    codes.first_byte = first / 2;
    codes.bytes.resize((first + count - 1) / 2 - codes.first_byte + 1);
    read_bytes(*parts_.packed, codes.first_byte, codes.bytes);
    codes.first_block = first / block;
    codes.scales =
        read_scales(codes.first_block, (first + count - 1) / block - codes.first_block + 1);
    return codes;
  }

  [[nodiscard]] std::vector<float> read_scales(uint64_t first, uint64_t count) const {
    if (!parts_.nested) {
      return floats_at(*parts_.scales, first, count);
    }
    const NestedScales& nested = *parts_.nested;
    const auto block = static_cast<uint64_t>(nested.block);
    std::vector<std::byte> codes(count);
    read_bytes(*parts_.scales, first, codes);
    const uint64_t first_outer = first / block;
    const std::vector<float> outer =
        floats_at(*nested.absmax, first_outer, (first + count - 1) / block - first_outer + 1);
    std::vector<float> scales(count);
    for (uint64_t i = 0; i < count; ++i) {
      const float scaled =
          nested.map[std::to_integer<size_t>(codes[i])] * outer[(first + i) / block - first_outer];
      scales[i] = scaled + nested.offset;
    }
    return scales;
  }

  void unpack_run(const Codes& codes, uint64_t from, std::span<float> out) const {
    const auto block = static_cast<uint64_t>(parts_.block);
    for (uint64_t i = 0; i < out.size(); ++i) {
      const uint64_t at = from + i;
      const auto byte = std::to_integer<size_t>(codes.bytes[at / 2 - codes.first_byte]);
      const size_t code = at % 2 == 0 ? byte >> 4 : byte & 15;
      out[i] = parts_.map[code] * codes.scales[at / block - codes.first_block];
    }
  }

  FourBit parts_;
};

class Int8RowsWeight final : public Weight {
 public:
  Int8RowsWeight(WeightPtr codes, WeightPtr row_max)
      : Weight(DType::kF32, codes->shape()),
        codes_(std::move(codes)),
        row_max_(std::move(row_max)) {
    require(
        codes_->dtype() == DType::kI8 && shape().size() == 2,
        fmt::format(
            "8-bit codes in {} of [{}]", dtype_name(codes_->dtype()), fmt::join(shape(), ", ")));
    require(row_max_->dtype() == DType::kF32 && row_max_->values() == static_cast<uint64_t>(rows()),
            fmt::format("{} scales in {} for {} rows",
                        row_max_->values(),
                        dtype_name(row_max_->dtype()),
                        rows()));
  }

  void read(const Block& block, std::span<std::byte> out) const override {
    std::vector<float> values(block.elements());
    read_floats(block, values);
    from_float32(dtype(), values, out);
  }

  void read_floats(const Block& block, std::span<float> out) const override {
    constexpr float kOver127 = 7.874015718698502e-3F;
    std::vector<std::byte> codes(block.elements());
    codes_->read(block, codes);
    const std::vector<float> scales =
        floats_at(*row_max_, static_cast<uint64_t>(block.row), static_cast<uint64_t>(block.rows));
    const auto width = static_cast<size_t>(block.cols);
    for (size_t i = 0; i < out.size(); ++i) {
      const auto code = static_cast<int8_t>(std::to_integer<uint8_t>(codes[i]));
      out[i] = static_cast<float>(code) * scales[i / width] * kOver127;
    }
  }

 private:
  WeightPtr codes_;
  WeightPtr row_max_;
};

}  // namespace

WeightPtr from_four_bit(FourBit parts, DType dtype, Shape shape) {
  return std::make_shared<FourBitWeight>(std::move(parts), dtype, std::move(shape));
}

WeightPtr from_int8_rows(WeightPtr codes, WeightPtr row_max) {
  return std::make_shared<Int8RowsWeight>(std::move(codes), std::move(row_max));
}

}  // namespace lorapress
