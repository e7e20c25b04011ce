#include "quant/bnb4.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/buffer.h"
#include "base/convert.h"
#include "base/simd.h"
#include "quant/exact.h"
#include "quant/quantized_weight.h"
#include "quant/rounding.h"
#include "weights/group.h"

namespace lorapress {
namespace {

// QLoRA, https://arxiv.org/abs/2305.14314, appendix E: quantiles of the normal distribution. Code i
// stands for kLevels[i] and is chosen for values above kSteps[i - 1], the middle between two
// levels.
constexpr std::array<float, 16> kLevels = {-1.0F,
                                           -0.6961928009986877F,
                                           -0.5250730514526367F,
                                           -0.39491748809814453F,
                                           -0.28444138169288635F,
                                           -0.18477343022823334F,
                                           -0.09105003625154495F,
                                           0.0F,
                                           0.07958029955625534F,
                                           0.16093020141124725F,
                                           0.24611230194568634F,
                                           0.33791524171829224F,
                                           0.44070982933044434F,
                                           0.5626170039176941F,
                                           0.7229568362236023F,
                                           1.0F};
constexpr std::array<float, 15> kSteps = {-0.8480964004993439F,
                                          -0.6106329262256622F,
                                          -0.4599952697753906F,
                                          -0.33967943489551544F,
                                          -0.23460740596055984F,
                                          -0.13791173323988914F,
                                          -0.045525018125772476F,
                                          0.03979014977812767F,
                                          0.1202552504837513F,
                                          0.2035212516784668F,
                                          0.2920137718319893F,
                                          0.3893125355243683F,
                                          0.5016634166240692F,
                                          0.6427869200706482F,
                                          0.8614784178118011F};

LORAPRESS_SIMD void encode(const float* values, size_t count, float inverse, uint8_t* codes) {
  for (size_t i = 0; i < count; ++i) {
    const float x = values[i] * inverse;
    int code = 0;
    for (const float step : kSteps) {
      code += x > step ? 1 : 0;
    }
    codes[i] = static_cast<uint8_t>(code);
  }
}

LORAPRESS_SIMD void join(const uint8_t* codes, size_t pairs, uint8_t* packed) {
  for (size_t i = 0; i < pairs; ++i) {
    packed[i] = static_cast<uint8_t>(codes[2 * i] << 4 | codes[2 * i + 1]);
  }
}

// Consecutive blocks: the index of the first one, their values and their largest magnitudes.
struct Bnb4Portion {
  int64_t first;
  std::span<const float> values;
  std::span<const float> absmax;
};

// One flattened matrix; the group's rows are its blocks.
class Bnb4Group final : public WeightGroup {
 public:
  Bnb4Group(std::string name, WeightPtr matrix, int64_t block_size)
      : name_(std::move(name)), matrix_(std::move(matrix)), block_size_(block_size) {}

  [[nodiscard]] uint64_t row_bytes(const Weight& member) const override {
    return member.dtype() == DType::kU8 ? static_cast<uint64_t>(block_size_ / 2)
                                        : dtype_size(member.dtype());
  }

  void read_rows(int64_t row, int64_t count, std::span<const Rows> members) const override {
    for_portions(row, row + count, [&](const Bnb4Portion& portion) {
      for (const Rows& wanted : members) {
        const size_t pitch = row_bytes(*wanted.member);
        const auto at = static_cast<size_t>(portion.first - row) * pitch;
        dynamic_cast<const PortionWriter<Bnb4Portion>&>(*wanted.member)
            .store(portion,
                   wanted.out.subspan(
                       at, std::min(portion.absmax.size() * pitch, wanted.out.size() - at)));
      }
    });
  }

  bool operator==(const Bnb4Group& other) const { return block_size_ == other.block_size_; }

  [[nodiscard]] const WeightPtr& matrix() const { return matrix_; }
  [[nodiscard]] int64_t block_size() const { return block_size_; }
  [[nodiscard]] int64_t count() const { return matrix_->rows() * matrix_->cols(); }
  [[nodiscard]] int64_t blocks() const { return (count() + block_size_ - 1) / block_size_; }

  // Values [first, first + out.size()) of the flattened matrix.
  void read(int64_t first, std::span<float> out) const {
    const int64_t columns = matrix_->cols();
    for (std::span<float> left = out; !left.empty();) {
      const int64_t row = first / columns;
      const int64_t col = first % columns;
      const auto wanted = static_cast<int64_t>(left.size());
      Block block{row, 1, col, std::min(columns - col, wanted)};
      if (col == 0 && wanted >= columns) {
        block = {row, wanted / columns, 0, columns};
      }
      matrix_->read_floats(block, left.first(block.elements()));
      left = left.subspan(block.elements());
      first += static_cast<int64_t>(block.elements());
    }
    require_finite_blocks(name_, out);
  }

  // Calls use(Bnb4Portion) for blocks [first, last), in portions that bound memory.
  template <typename Use>
  void for_portions(int64_t first, int64_t last, const Use& use) const {
    Buffer<float> values;
    Buffer<float> absmax;
    const int64_t most = std::max<int64_t>(1, portion_elements() / block_size_);
    for (int64_t block = first; block < last; block += most) {
      const int64_t end = std::min(last, block + most);
      const int64_t elements = std::min(end * block_size_, count()) - block * block_size_;
      values.resize(static_cast<size_t>(elements));
      absmax.resize(static_cast<size_t>(end - block));
      read(block * block_size_, values.span());
      for (size_t i = 0; i < absmax.size(); ++i) {
        float most_here = 0.0F;
        for (const float value : part(values.span(), i)) {
          most_here = std::max(most_here, std::fabs(value));
        }
        absmax[i] = most_here;
      }
      use({block, values.span(), absmax.span()});
    }
  }

  // Block i of `values`; the last block of a matrix may be shorter.
  template <typename T>
  std::span<T> part(std::span<T> values, size_t i) const {
    const size_t begin = i * static_cast<size_t>(block_size_);
    return values.subspan(begin, std::min(static_cast<size_t>(block_size_), values.size() - begin));
  }

  void encode_all(std::span<const float> values,
                  std::span<const float> absmax,
                  std::span<uint8_t> codes) const {
    for (size_t i = 0; i < absmax.size(); ++i) {
      const auto some = part(values, i);
      encode(some.data(), some.size(), reciprocal_or_zero(absmax[i]), part(codes, i).data());
    }
  }

 private:
  // Whole rows where blocks do not cross their ends. Larger for a transposed matrix, which reads
  // nearly all of its source for any portion.
  [[nodiscard]] int64_t portion_elements() const {
    constexpr int64_t kElements = int64_t{64} << 10;
    const int64_t columns = std::max<int64_t>(matrix_->cols(), 1);
    const int64_t rows = (matrix_->row_wise() ? kElements : 16 * kElements) / columns;
    return columns % block_size_ == 0 && rows > 0 ? rows * columns : kElements;
  }

  std::string name_;
  WeightPtr matrix_;
  int64_t block_size_;
};

using Bnb4GroupPtr = std::shared_ptr<const Bnb4Group>;

class CodesWeight final : public GroupMember<QuantizedWeight, Bnb4Group, Bnb4Portion> {
 public:
  CodesWeight(const std::string& name, const Bnb4GroupPtr& group)
      : GroupMember(group, DType::kU8, Shape{(group->count() + 1) / 2}, name, group->matrix()) {}

  void store(const Bnb4Portion& portion, std::span<std::byte> out) const override {
    Buffer<uint8_t> codes(2 * out.size());
    codes[codes.size() - 1] = kCodeOfZero;  // remains where the count is odd
    group_->encode_all(portion.values, portion.absmax, codes.span().first(portion.values.size()));
    join(codes.data(), out.size(), reinterpret_cast<uint8_t*>(out.data()));
  }

  void restore(int64_t row,
               int64_t rows,
               std::span<float> original,
               std::span<float> restored) const override {
    const int64_t columns = matrix().cols();
    const int64_t begin = row * columns;
    const int64_t end = begin + rows * columns;
    const int64_t size = group_->block_size();
    Buffer<uint8_t> codes;
    group_->for_portions(begin / size, (end + size - 1) / size, [&](const Bnb4Portion& portion) {
      codes.resize(portion.values.size());
      group_->encode_all(portion.values, portion.absmax, codes.span());
      for (size_t i = 0; i < codes.size(); ++i) {
        const int64_t at = portion.first * size + static_cast<int64_t>(i);
        if (at >= begin && at < end) {
          const auto to = static_cast<size_t>(at - begin);
          original[to] = portion.values[i];
          restored[to] = kLevels[codes[i]] * portion.absmax[i / static_cast<size_t>(size)];
        }
      }
    });
  }

 private:
  static constexpr uint8_t kCodeOfZero = 7;  // the code of 0
};

class AbsmaxWeight final : public GroupMember<Weight, Bnb4Group, Bnb4Portion> {
 public:
  explicit AbsmaxWeight(const Bnb4GroupPtr& group)
      : GroupMember(group,
                    group->matrix()->dtype(),
                    Shape{group->blocks()},
                    std::vector<WeightPtr>{group->matrix()}) {}

  void store(const Bnb4Portion& portion, std::span<std::byte> out) const override {
    from_float32(dtype(), portion.absmax, out);
  }
};

}  // namespace

Bnb4Weights quantize_bnb4(const std::string& name, WeightPtr matrix, int64_t block_size) {
  const auto group = std::make_shared<const Bnb4Group>(name, std::move(matrix), block_size);
  return {std::make_shared<CodesWeight>(name, group), std::make_shared<AbsmaxWeight>(group)};
}

}  // namespace lorapress
