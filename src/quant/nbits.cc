#include "quant/nbits.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "base/buffer.h"
#include "base/convert.h"
#include "base/fail.h"
#include "quant/quantized_weight.h"
#include "quant/rounding.h"
#include "weights/group.h"

namespace lorapress {
namespace {

// Consecutive rows of a matrix, rounded.
struct NBitsPortion {
  int64_t row;       // the first
  BlockRows blocks;  // padded to whole blocks
  std::span<const float> scales;
  std::span<const uint8_t> zero_points;
  std::span<const uint8_t> chosen;  // packed integers, where feedback chose them; else empty

  void pack(std::span<uint8_t> out) const {
    if (chosen.empty()) {
      pack_blocks(blocks, scales, zero_points, out);
    } else {
      std::ranges::copy(chosen, out.begin());
    }
  }
};

// One matrix and how it is rounded; the group's rows are those of the matrix.
class NBitsGroup final : public WeightGroup {
 public:
  NBitsGroup(std::string name,
             WeightPtr matrix,
             const NBitsFormat& format,
             std::shared_ptr<const ErrorFeedback> feedback)
      : name_(std::move(name)),
        matrix_(std::move(matrix)),
        format_(format),
        blocks_((matrix_->cols() + format.block_size - 1) / format.block_size),
        feedback_(checked(std::move(feedback))) {}

  [[nodiscard]] uint64_t row_bytes(const Weight& member) const override {
    return member.bytes() / static_cast<uint64_t>(rows());
  }

  void read_rows(int64_t row, int64_t count, std::span<const Rows> members) const override {
    for_portions(row, count, [&](const NBitsPortion& portion) {
      const auto first = static_cast<size_t>(portion.row - row);
      for (const Rows& wanted : members) {
        const size_t pitch = row_bytes(*wanted.member);
        dynamic_cast<const PortionWriter<NBitsPortion>&>(*wanted.member)
            .store(portion, wanted.out.subspan(first * pitch, portion.blocks.rows * pitch));
      }
    });
  }

  bool operator==(const NBitsGroup& other) const {
    return format_ == other.format_ && feedback_ == other.feedback_;
  }

  [[nodiscard]] const WeightPtr& matrix() const { return matrix_; }
  [[nodiscard]] const NBitsFormat& format() const { return format_; }
  [[nodiscard]] int64_t rows() const { return matrix_->rows(); }
  [[nodiscard]] int64_t blocks() const { return blocks_; }
  [[nodiscard]] size_t row_bytes() const {
    return static_cast<size_t>(blocks_ * format_.block_size / 2);
  }

  // Calls use(NBitsPortion) for rows [row, row + rows), in portions that bound memory.
  template <typename Use>
  void for_portions(int64_t row, int64_t rows, const Use& use) const {
    const int64_t width = blocks_ * format_.block_size;
    // A transposed matrix reads nearly all of its source for any portion, so its portions are
    // larger.
    const int64_t most = (matrix_->row_wise() ? kPortion : 16 * kPortion) / (4 * width);
    const int64_t portion = std::clamp<int64_t>(most, 1, rows);
    Buffer<float> values;
    Buffer<float> scales(static_cast<size_t>(portion * blocks_));
    Buffer<uint8_t> zeros(format_.symmetric ? 0 : scales.size());
    Buffer<uint8_t> chosen;
    const auto factor = feedback_ ? feedback_->load() : nullptr;
    for (int64_t done = 0; done < rows;) {
      const FloatRows part = filled_rows(row + done, std::min(portion, rows - done), values);
      const auto count = static_cast<size_t>(part.rows);
      scales.resize(count * static_cast<size_t>(blocks_));
      zeros.resize(format_.symmetric ? 0 : scales.size());
      const BlockRows blocks{part.data, count, static_cast<size_t>(blocks_), block_size()};
      if (factor) {
        chosen.resize(count * row_bytes());
        round_with_feedback(
            blocks, *factor, format_.scale_dtype, scales.span(), zeros.span(), chosen.span());
      } else {
        find_scales(blocks, scales.span(), zeros.span());
      }
      require_finite_scales(row + done, scales.span());
      use({row + done, blocks, scales.span(), zeros.span(), chosen.span()});
      done += part.rows;
    }
  }

  [[nodiscard]] size_t block_size() const { return static_cast<size_t>(format_.block_size); }

 private:
  static constexpr int64_t kPortion = int64_t{256} << 10;  // bytes of float32

  std::shared_ptr<const ErrorFeedback> checked(
      std::shared_ptr<const ErrorFeedback> feedback) const {
    if (feedback && static_cast<int64_t>(feedback->size()) != matrix_->cols()) {
      fail(ErrorCode::kMismatch,
           "tensor {}: statistics of {} inputs for {}",
           name_,
           feedback->size(),
           matrix_->cols());
    }
    return format_.rounding == Rounding::kSearch ? std::move(feedback) : nullptr;
  }

  // The first of these rows, at least one, padded with zeros to whole blocks: a view where they are
  // in memory, otherwise read into `values`.
  FloatRows filled_rows(int64_t row, int64_t rows, Buffer<float>& values) const {
    const Block block{row, rows, 0, matrix_->cols()};
    const int64_t width = blocks_ * format_.block_size;
    std::optional<FloatRows> part = width == block.cols ? matrix_->view(block) : std::nullopt;
    if (!part || part->pitch != width) {
      values.resize(static_cast<size_t>(rows * width));
      read_filled(block, values.span());
      part = FloatRows{values.data(), rows, width, nullptr};
    }
    require_finite_blocks(name_, {part->data, static_cast<size_t>(part->rows * width)});
    return *part;
  }

  void read_filled(const Block& block, std::span<float> values) const {
    const auto width = static_cast<size_t>(blocks_ * format_.block_size);
    const auto used = static_cast<size_t>(block.cols);
    matrix_->read_floats(block, values.first(block.elements()));
    for (auto i = static_cast<size_t>(block.rows); width != used && i-- > 0;) {
      float* to = values.data() + i * width;
      std::memmove(to, values.data() + i * used, used * sizeof(float));
      std::fill(to + used, to + width, 0.0F);
    }
  }

  void find_scales(const BlockRows& blocks,
                   std::span<float> scales,
                   std::span<uint8_t> zero_points) const {
    if (format_.rounding == Rounding::kSearch) {
      searched_scales(blocks, {}, scales, zero_points);
    } else {
      nearest_scales(blocks, scales, zero_points);
    }
    if (format_.scale_dtype == DType::kF32) {
      return;
    }
    Buffer<std::byte> stored(scales.size() * dtype_size(format_.scale_dtype));
    from_float32(format_.scale_dtype, scales, stored.span());
    to_float32(format_.scale_dtype, stored.span(), scales);
  }

  void require_finite_scales(int64_t row, std::span<const float> scales) const {
    if (format_.scale_dtype != DType::kF32 && !all_finite(scales)) {
      fail(ErrorCode::kInvalidFile,
           "tensor {}: near row {} values are too large for scales in {}; use q4 instead of q4f16 "
           "or leave it out (options.exclude)",
           name_,
           row,
           dtype_name(format_.scale_dtype));
    }
  }

  std::string name_;
  WeightPtr matrix_;
  NBitsFormat format_;
  int64_t blocks_;
  std::shared_ptr<const ErrorFeedback> feedback_;
};

using NBitsGroupPtr = std::shared_ptr<const NBitsGroup>;

class PackedWeight final : public GroupMember<QuantizedWeight, NBitsGroup, NBitsPortion> {
 public:
  PackedWeight(const std::string& name, const NBitsGroupPtr& group)
      : GroupMember(group,
                    DType::kU8,
                    Shape{group->rows(), group->blocks(), group->format().block_size / 2},
                    name,
                    group->matrix()) {}

  void store(const NBitsPortion& portion, std::span<std::byte> out) const override {
    portion.pack({reinterpret_cast<uint8_t*>(out.data()), out.size()});
  }

  void restore(int64_t row,
               int64_t rows,
               std::span<float> original,
               std::span<float> restored) const override {
    const auto columns = static_cast<size_t>(matrix().cols());
    const auto block_size = group_->block_size();
    Buffer<uint8_t> packed;
    Buffer<float> values;
    group_->for_portions(row, rows, [&](const NBitsPortion& portion) {
      const BlockRows& part = portion.blocks;
      const size_t width = part.blocks * block_size;
      packed.resize(part.rows * static_cast<size_t>(cols()));
      values.resize(part.rows * width);
      portion.pack(packed.span());
      restore_blocks(packed.span(), portion.scales, portion.zero_points, block_size, values.span());
      for (size_t i = 0; i < part.rows; ++i) {
        const size_t at = (static_cast<size_t>(portion.row - row) + i) * columns;
        std::copy_n(part.values + i * width, columns, original.data() + at);
        std::copy_n(values.data() + i * width, columns, restored.data() + at);
      }
    });
  }
};

// Scales or zero points: a vector with `row_elements` elements for each row of the matrix.
class SideWeight : public GroupMember<Weight, NBitsGroup, NBitsPortion> {
 public:
  SideWeight(const NBitsGroupPtr& group, DType dtype, int64_t row_elements)
      : GroupMember(group,
                    dtype,
                    Shape{group->rows() * row_elements},
                    std::vector<WeightPtr>{group->matrix()}) {}
};

class ScaleWeight final : public SideWeight {
 public:
  ScaleWeight(const NBitsGroupPtr& group, DType dtype)
      : SideWeight(group, dtype, group->blocks()) {}

  void store(const NBitsPortion& portion, std::span<std::byte> out) const override {
    from_float32(dtype(), portion.scales, out);
  }
  [[nodiscard]] DType values_dtype() const override { return group_->format().scale_dtype; }
  // The result is a member of the group, too.
  [[nodiscard]] WeightPtr in_dtype(DType to) const override {
    return dtype() == DType::kF32 ? std::make_shared<ScaleWeight>(group_, to) : nullptr;
  }
};

class ZeroPointWeight final : public SideWeight {
 public:
  explicit ZeroPointWeight(const NBitsGroupPtr& group)
      : SideWeight(group, DType::kU8, (group->blocks() + 1) / 2) {}

  void store(const NBitsPortion& portion, std::span<std::byte> out) const override {
    const size_t blocks = portion.blocks.blocks;
    const size_t pitch = (blocks + 1) / 2;
    for (size_t i = 0; i < out.size(); ++i) {
      const uint8_t* row = portion.zero_points.data() + i / pitch * blocks;
      const size_t block = i % pitch * 2;
      const unsigned high = block + 1 < blocks ? row[block + 1] : kDefaultZeroPoint;
      out[i] = static_cast<std::byte>(row[block] | high << 4);
    }
  }
};

}  // namespace

NBitsWeights quantize_nbits(const std::string& name,
                            WeightPtr matrix,
                            const NBitsFormat& format,
                            std::shared_ptr<const ErrorFeedback> feedback) {
  const DType scale_dtype = matrix->dtype() == DType::kF16 ? DType::kF16 : DType::kF32;
  NBitsFormat rounded = format;
  rounded.scale_dtype = scale_dtype == DType::kF16 ? DType::kF16 : format.scale_dtype;
  const NBitsGroupPtr group =
      std::make_shared<const NBitsGroup>(name, std::move(matrix), rounded, std::move(feedback));
  return {std::make_shared<PackedWeight>(name, group),
          std::make_shared<ScaleWeight>(group, scale_dtype),
          format.symmetric ? nullptr : std::make_shared<ZeroPointWeight>(group)};
}

}  // namespace lorapress
