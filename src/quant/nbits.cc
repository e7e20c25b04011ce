#include "quant/nbits.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "base/buffer.h"
#include "base/convert.h"
#include "base/fail.h"
#include "quant/nbits_kept.h"
#include "quant/quantized_weight.h"
#include "quant/rounding.h"

namespace lorapress {
namespace {

// Some rows of a matrix, rounded.
struct Portion {
  int64_t row;       // the first
  BlockRows blocks;  // filled up to whole blocks
  std::span<const float> scales;
  std::span<const uint8_t> zero_points;
  std::span<const uint8_t> chosen;  // the integers, where they come with the scales

  void pack(std::span<uint8_t> out) const {
    if (chosen.empty()) {
      pack_blocks(blocks, scales, zero_points, out);
    } else {
      std::ranges::copy(chosen, out.begin());
    }
  }
};

// One matrix and how it is rounded; the three tensors share it.
class NBitsSource {
 public:
  NBitsSource(std::string name,
              WeightPtr matrix,
              const NBitsFormat& format,
              std::shared_ptr<const ErrorFeedback> feedback)
      : name_(std::move(name)),
        matrix_(std::move(matrix)),
        format_(format),
        blocks_((matrix_->cols() + format.block_size - 1) / format.block_size),
        feedback_(checked(std::move(feedback))),
        kept_(static_cast<size_t>(rows()), static_cast<size_t>(blocks_), !format.symmetric) {}

  [[nodiscard]] const Weight& matrix() const { return *matrix_; }
  [[nodiscard]] const NBitsFormat& format() const { return format_; }
  [[nodiscard]] int64_t rows() const { return matrix_->rows(); }
  [[nodiscard]] int64_t blocks() const { return blocks_; }
  [[nodiscard]] size_t row_bytes() const {
    return static_cast<size_t>(blocks_ * format_.block_size / 2);
  }
  [[nodiscard]] KeptScales& kept() { return kept_; }

  // Rows in portions that bound memory; `use` gets a Portion.
  template <typename Use>
  void for_portions(int64_t row, int64_t rows, const Use& use) const {
    const int64_t width = blocks_ * format_.block_size;
    // A transposed matrix reads nearly all of its source for any portion: fewer, larger ones.
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

  // Some of the rows, filled up with zeros to whole blocks: lent, or read into `values`.
  FloatRows filled_rows(int64_t row, int64_t rows, Buffer<float>& values) const {
    const Block block{row, rows, 0, matrix_->cols()};
    const int64_t width = blocks_ * format_.block_size;
    std::optional<FloatRows> part = width == block.cols ? matrix_->lend(block) : std::nullopt;
    if (!part || part->pitch != width) {
      values.resize(static_cast<size_t>(rows * width));
      read_rows(block, values.span());
      part = FloatRows{values.data(), rows, width, nullptr};
    }
    if (!all_finite({part->data, static_cast<size_t>(part->rows * width)})) {
      fail(ErrorCode::kInvalidFile,
           "tensor {}: holds values that are not finite (NaN or infinity), which 4-bit blocks "
           "cannot "
           "hold; leave it out (options.exclude) or repair the checkpoint",
           name_);
    }
    return *part;
  }

  void read_rows(const Block& block, std::span<float> values) const {
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
           "or "
           "leave it out (options.exclude)",
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
  KeptScales kept_;
};

using SourcePtr = std::shared_ptr<NBitsSource>;

class PackedWeight final : public QuantizedWeight {
 public:
  PackedWeight(const std::string& name, SourcePtr source)
      : QuantizedWeight(
            DType::kU8, {source->rows(), source->blocks(), source->format().block_size / 2}, name),
        source_(std::move(source)) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    const size_t pitch = source_->row_bytes();
    const bool whole = block.cols == cols();
    Buffer<uint8_t> packed;
    source_->for_portions(block.row, block.rows, [&](const Portion& portion) {
      const size_t rows = portion.blocks.rows;
      std::byte* to = out.data() + static_cast<size_t>((portion.row - block.row) * block.cols);
      if (whole) {
        portion.pack({reinterpret_cast<uint8_t*>(to), rows * pitch});
      } else {
        packed.resize(rows * pitch);
        portion.pack(packed.span());
        for (size_t i = 0; i < rows; ++i) {
          std::memcpy(to + i * static_cast<size_t>(block.cols),
                      packed.data() + i * pitch + block.col,
                      static_cast<size_t>(block.cols));
        }
      }
      source_->kept().keep(static_cast<size_t>(portion.row), portion.scales, portion.zero_points);
    });
  }

  [[nodiscard]] const Weight& matrix() const override { return source_->matrix(); }

  void restore(int64_t row,
               int64_t rows,
               std::span<float> original,
               std::span<float> restored) const override {
    const auto columns = static_cast<size_t>(matrix().cols());
    const auto block_size = source_->block_size();
    Buffer<uint8_t> packed;
    Buffer<float> values;
    source_->for_portions(row, rows, [&](const Portion& portion) {
      const BlockRows& part = portion.blocks;
      const size_t width = part.blocks * block_size;
      packed.resize(part.rows * source_->row_bytes());
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

 private:
  SourcePtr source_;
};

// Scales or zero points: one line of elements, `row_elements_` to a row of the matrix.
class SideWeight : public Weight {
 public:
  SideWeight(SourcePtr source, DType dtype, int64_t row_elements)
      : Weight(dtype, {source->rows() * row_elements}),
        source_(std::move(source)),
        row_elements_(row_elements) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    if (block.cols == 0) {
      return;
    }
    const size_t size = dtype_size(dtype());
    const int64_t end = block.col + block.cols;
    const int64_t last = (end - 1) / row_elements_;
    const auto blocks = static_cast<size_t>(source_->blocks());
    Buffer<float> scales(kRows * blocks);
    Buffer<uint8_t> zeros(source_->format().symmetric ? 0 : kRows * blocks);
    Buffer<std::byte> stored(kRows * static_cast<size_t>(row_elements_) * size);
    for (int64_t row = block.col / row_elements_; row <= last;) {
      const auto count = static_cast<size_t>(std::min<int64_t>(kRows, last + 1 - row));
      scales.resize(count * blocks);
      zeros.resize(source_->format().symmetric ? 0 : count * blocks);
      take(row, count, scales.span(), zeros.span());
      stored.resize(count * static_cast<size_t>(row_elements_) * size);
      store(scales.span(), zeros.span(), stored.span());
      const int64_t start = row * row_elements_;
      const int64_t from = std::max(block.col, start);
      const int64_t to = std::min(end, start + static_cast<int64_t>(count) * row_elements_);
      std::memcpy(out.data() + static_cast<size_t>(from - block.col) * size,
                  stored.data() + static_cast<size_t>(from - start) * size,
                  static_cast<size_t>(to - from) * size);
      row += static_cast<int64_t>(count);
    }
    source_->kept().written(out.size(), source_bytes());
  }

  [[nodiscard]] bool row_wise() const override { return source_->matrix().row_wise(); }

 protected:
  virtual void store(std::span<const float> scales,
                     std::span<const uint8_t> zero_points,
                     std::span<std::byte> out) const = 0;
  [[nodiscard]] const NBitsSource& quantized() const { return *source_; }

 private:
  static constexpr size_t kRows = 512;

  // Bytes of scales and zero points together.
  [[nodiscard]] uint64_t source_bytes() const {
    const auto rows = static_cast<uint64_t>(source_->rows());
    const auto blocks = static_cast<uint64_t>(source_->blocks());
    const size_t scale = source_->matrix().dtype() == DType::kF16 ? 2 : 4;
    return rows * (blocks * scale + (source_->format().symmetric ? 0 : (blocks + 1) / 2));
  }

  void take(int64_t row,
            size_t rows,
            std::span<float> scales,
            std::span<uint8_t> zero_points) const {
    const auto blocks = static_cast<size_t>(source_->blocks());
    const size_t found = source_->kept().find(static_cast<size_t>(row), rows, scales, zero_points);
    if (found == rows) {
      return;
    }
    const int64_t next = row + static_cast<int64_t>(found);
    source_->for_portions(next, static_cast<int64_t>(rows - found), [&](const Portion& portion) {
      const auto at = static_cast<ptrdiff_t>(static_cast<size_t>(portion.row - row) * blocks);
      std::ranges::copy(portion.scales, scales.begin() + at);
      std::ranges::copy(portion.zero_points, zero_points.begin() + at);
    });
  }

  SourcePtr source_;
  int64_t row_elements_;
};

class ScaleWeight final : public SideWeight {
 public:
  ScaleWeight(const SourcePtr& source, DType dtype) : SideWeight(source, dtype, source->blocks()) {}

 protected:
  void store(std::span<const float> scales,
             std::span<const uint8_t> /*zero_points*/,
             std::span<std::byte> out) const override {
    from_float32(dtype(), scales, out);
  }
};

class ZeroPointWeight final : public SideWeight {
 public:
  explicit ZeroPointWeight(const SourcePtr& source)
      : SideWeight(source, DType::kU8, (source->blocks() + 1) / 2) {}

 protected:
  void store(std::span<const float> /*scales*/,
             std::span<const uint8_t> zero_points,
             std::span<std::byte> out) const override {
    const auto blocks = static_cast<size_t>(quantized().blocks());
    const size_t pitch = (blocks + 1) / 2;
    for (size_t i = 0; i < out.size(); ++i) {
      const size_t row = i / pitch;
      const size_t block = i % pitch * 2;
      const unsigned low = zero_points[row * blocks + block];
      const unsigned high =
          block + 1 < blocks ? zero_points[row * blocks + block + 1] : kDefaultZeroPoint;
      out[i] = static_cast<std::byte>(low | high << 4);
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
  const auto source =
      std::make_shared<NBitsSource>(name, std::move(matrix), rounded, std::move(feedback));
  return {std::make_shared<PackedWeight>(name, source),
          std::make_shared<ScaleWeight>(source, scale_dtype),
          format.symmetric ? nullptr : std::make_shared<ZeroPointWeight>(source)};
}

bool is_nbits_scales(const Weight& weight) {
  return dynamic_cast<const ScaleWeight*>(&weight) != nullptr;
}

}  // namespace lorapress
