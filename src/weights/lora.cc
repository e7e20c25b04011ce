#include "weights/lora.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "base/checked.h"
#include "base/convert.h"
#include "base/fail.h"
#include "base/simd.h"

namespace lorapress {
namespace {

// out[i][j] += scale * sum_k left[i][k] * right[k][j]; the sum is built before it is scaled.
LORAPRESS_SIMD void add_scaled_product(const float* __restrict left,
                                       const float* __restrict right,
                                       float* __restrict out,
                                       size_t rows,
                                       size_t rank,
                                       size_t cols,
                                       float scale) {
  constexpr size_t kTile = 128;
  for (size_t col0 = 0; col0 < cols; col0 += kTile) {
    const size_t width = cols - col0 < kTile ? cols - col0 : kTile;
    for (size_t row = 0; row < rows; ++row) {
      float sum[kTile] = {};
      for (size_t k = 0; k < rank; ++k) {
        const float factor = left[row * rank + k];
        const float* line = right + k * cols + col0;
        for (size_t col = 0; col < width; ++col) {
          sum[col] += factor * line[col];
        }
      }
      float* target = out + row * cols + col0;
      for (size_t col = 0; col < width; ++col) {
        target[col] += scale * sum[col];
      }
    }
  }
}

std::vector<float> transposed(const std::vector<float>& in, size_t rows, size_t cols) {
  std::vector<float> out(in.size());
  for (size_t row = 0; row < rows; ++row) {
    for (size_t col = 0; col < cols; ++col) {
      out[col * rows + row] = in[row * cols + col];
    }
  }
  return out;
}

void check_shapes(const Weight& base, const LoraDelta& delta) {
  const int64_t out_features = delta.transposed ? base.cols() : base.rows();
  const int64_t in_features = delta.transposed ? base.rows() : base.cols();
  const int64_t rank = delta.a->rows();
  if (!dtype_row(base.dtype()).is_float) {
    fail(ErrorCode::kMismatch,
         "the base weight is {}, expected floats; the adapter was trained for another base model",
         dtype_name(base.dtype()));
  }
  if (delta.magnitude && delta.magnitude->rows() * delta.magnitude->cols() != out_features) {
    fail(ErrorCode::kMismatch,
         "the DoRA magnitude is [{}], expected {} values; the adapter was trained for another base "
         "model",
         fmt::join(delta.magnitude->shape(), ", "),
         out_features);
  }
  if (delta.diagonal && (delta.transposed || delta.diagonal->shape() != Shape{rank})) {
    fail(ErrorCode::kMismatch,
         "lora_diag is [{}], expected [{}] beside the factors of a linear layer",
         fmt::join(delta.diagonal->shape(), ", "),
         rank);
  }
  if (delta.a->cols() != in_features || delta.b->rows() != out_features ||
      delta.b->cols() != rank) {
    fail(ErrorCode::kMismatch,
         "adapter B [{}] times A [{}] does not fit a base weight of [{}]; "
         "the adapter was trained for another base model",
         fmt::join(delta.b->shape(), ", "),
         fmt::join(delta.a->shape(), ", "),
         fmt::join(base.shape(), ", "));
  }
}

// The parts of one adapter's factors that a block of the base needs, oriented as the base is
// stored.
struct DeltaBlock {
  std::vector<float> left;   // [block rows, rank]
  std::vector<float> right;  // [rank, block cols]
};

void scale_columns(std::vector<float>& left, const Weight& diagonal) {
  const std::vector<float> factors = read_all_float32(diagonal);
  for (size_t i = 0; i < left.size(); ++i) {
    left[i] *= factors[i % factors.size()];
  }
}

// Read again for every block: adapters are small, and keeping them would make memory grow with the
// number of layers.
DeltaBlock read_delta(const LoraDelta& delta, const Block& block) {
  const auto part = [](const Weight& weight, const Block& where) {
    std::vector<float> values(where.elements());
    weight.read_floats(where, values);
    return values;
  };
  const int64_t rank = delta.a->rows();
  if (!delta.transposed) {
    DeltaBlock straight{part(*delta.b, {block.row, block.rows, 0, rank}),
                        part(*delta.a, {0, rank, block.col, block.cols})};
    if (delta.diagonal) {
      scale_columns(straight.left, *delta.diagonal);
    }
    return straight;
  }
  const auto size = [](int64_t count) { return static_cast<size_t>(count); };  // (B A)^T = A^T B^T
  return {
      transposed(part(*delta.a, {0, rank, block.row, block.rows}), size(rank), size(block.rows)),
      transposed(part(*delta.b, {block.col, block.cols, 0, rank}), size(block.cols), size(rank))};
}

class MergedWeight final : public Weight {
 public:
  MergedWeight(WeightPtr base, LoraDelta delta, WeightPtr unmerged)
      : Weight(base->dtype(), base->shape()),
        base_(std::move(base)),
        unmerged_(unmerged ? std::move(unmerged) : base_),
        delta_(std::move(delta)) {
    check_shapes(*base_, delta_);
  }

  void read(const Block& block, std::span<std::byte> out) const override {
    if (dtype() == DType::kF32 && reinterpret_cast<uintptr_t>(out.data()) % alignof(float) == 0) {
      read_floats(block, {reinterpret_cast<float*>(out.data()), block.elements()});
      return;
    }
    std::vector<float> values(block.elements());
    read_floats(block, values);
    from_float32(dtype(), values, out);
  }

  void read_floats(const Block& block, std::span<float> values) const override {
    base_->read_floats(block, values);
    add_delta(block, values);
    if (delta_.magnitude) {
      {
        const std::lock_guard lock(factors_mutex_);
        if (dora_factors_.empty()) {
          compute_dora_factors();
        }
      }
      apply_dora(block, values);
    }
  }

  [[nodiscard]] bool row_wise() const override { return base_->row_wise(); }

 private:
  void add_delta(const Block& block, std::span<float> values) const {
    const DeltaBlock part = read_delta(delta_, block);
    add_scaled_product(part.left.data(),
                       part.right.data(),
                       values.data(),
                       static_cast<size_t>(block.rows),
                       static_cast<size_t>(delta_.a->rows()),
                       static_cast<size_t>(block.cols),
                       static_cast<float>(delta_.scaling));
  }

  // magnitude / ||V|| per output feature; needs one pass over the whole weight, once. Not
  // std::call_once, which may never return after an exception.
  void compute_dora_factors() const {
    std::vector<double> squares(static_cast<size_t>(delta_.transposed ? cols() : rows()));
    constexpr int64_t kRows = 64;
    std::vector<float> values;
    for (int64_t row = 0; row < rows(); row += kRows) {
      const Block block{row, std::min(kRows, rows() - row), 0, cols()};
      values.resize(block.elements());
      unmerged_->read_floats(block, values);
      add_delta(block, values);
      for (size_t i = 0; i < values.size(); ++i) {
        const size_t width = static_cast<size_t>(cols());
        const size_t feature = delta_.transposed ? i % width : static_cast<size_t>(row) + i / width;
        squares[feature] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
      }
    }
    std::vector<float> factors = read_all_float32(*delta_.magnitude);
    if (factors.size() != squares.size()) {
      fail(ErrorCode::kMismatch,
           "a DoRA magnitude of {} values, expected {}",
           factors.size(),
           squares.size());
    }
    for (size_t i = 0; i < squares.size(); ++i) {
      factors[i] /= static_cast<float>(std::sqrt(squares[i]));
    }
    dora_factors_ = std::move(factors);
  }

  void apply_dora(const Block& block, std::span<float> values) const {
    const auto width = static_cast<size_t>(block.cols);
    const auto first_row = static_cast<size_t>(block.row);
    const auto first_col = static_cast<size_t>(block.col);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] *= dora_factors_[delta_.transposed ? first_col + i % width : first_row + i / width];
    }
  }

  WeightPtr base_;
  WeightPtr unmerged_;
  LoraDelta delta_;
  mutable std::mutex factors_mutex_;
  mutable std::vector<float> dora_factors_;
};

class BlockDiagonalWeight final : public Weight {
 public:
  BlockDiagonalWeight(WeightPtr stored, int64_t blocks)
      : Weight(stored->dtype(), {stored->rows(), checked_cols(*stored, blocks)}, {stored}),
        stored_(*stored),
        block_rows_(rows() / blocks) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    const size_t size = dtype_size(dtype());
    std::ranges::fill(out, std::byte{0});
    for (int64_t i = 0; i < block.rows; ++i) {
      const int64_t row = block.row + i;
      const int64_t first = row / block_rows_ * stored_.cols();  // where the row's block begins
      const int64_t from = std::max(first, block.col);
      const int64_t to = std::min(first + stored_.cols(), block.col + block.cols);
      if (from < to) {
        stored_.read({row, 1, from - first, to - from},
                     out.subspan(static_cast<size_t>(i * block.cols + from - block.col) * size,
                                 static_cast<size_t>(to - from) * size));
      }
    }
  }

 private:
  static int64_t checked_cols(const Weight& stored, int64_t blocks) {
    const auto cols = checked_product({{stored.cols(), blocks}});
    if (stored.shape().size() != 2 || blocks < 1 || stored.rows() % blocks != 0 || !cols) {
      fail(ErrorCode::kMismatch,
           "a factor of [{}] is not the {} blocks of a diagonal",
           fmt::join(stored.shape(), ", "),
           blocks);
    }
    return *cols;
  }

  const Weight& stored_;
  int64_t block_rows_;
};

class SumWeight final : public Weight {
 public:
  SumWeight(WeightPtr base, WeightPtr addend, double scaling)
      : Weight(base->dtype(), base->shape()),
        base_(std::move(base)),
        addend_(std::move(addend)),
        scaling_(static_cast<float>(scaling)) {
    if (addend_->shape() != shape()) {
      fail(ErrorCode::kMismatch,
           "cannot add [{}] to [{}]",
           fmt::join(addend_->shape(), ", "),
           fmt::join(shape(), ", "));
    }
  }

  void read(const Block& block, std::span<std::byte> out) const override {
    std::vector<float> values(block.elements());
    read_floats(block, values);
    from_float32(dtype(), values, out);
  }

  void read_floats(const Block& block, std::span<float> values) const override {
    std::vector<float> more(block.elements());
    base_->read_floats(block, values);
    addend_->read_floats(block, more);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] += scaling_ * more[i];
    }
  }

 private:
  WeightPtr base_;
  WeightPtr addend_;
  float scaling_;
};

}  // namespace

WeightPtr merge_lora(WeightPtr base, LoraDelta delta, WeightPtr unmerged) {
  return std::make_shared<MergedWeight>(std::move(base), std::move(delta), std::move(unmerged));
}

WeightPtr block_diagonal(WeightPtr stored, int64_t blocks) {
  return std::make_shared<BlockDiagonalWeight>(std::move(stored), blocks);
}

WeightPtr add_scaled(WeightPtr base, WeightPtr addend, double scaling) {
  return std::make_shared<SumWeight>(std::move(base), std::move(addend), scaling);
}

}  // namespace lorapress
