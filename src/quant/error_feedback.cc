#include "quant/error_feedback.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/convert.h"
#include "base/simd.h"
#include "quant/exact.h"
#include "quant/scale_search.h"

namespace lorapress {
namespace {

using Matrix = Eigen::MatrixXf;

// Damping, added to every diagonal element of H as a fraction of their mean: inputs that were
// always zero, or correlated by chance, must not be trusted. Chosen on the development split of
// bench/rounding.py among 0.002, 0.01 and 0.05.
constexpr double kDamping = 0.05;

// H with rows and columns in reverse order and `raise` added to the diagonal.
Matrix reversed(const InputMoments& moments, float raise) {
  const auto size = static_cast<Eigen::Index>(moments.size());
  const std::span<const float> sums = moments.sums();
  Matrix matrix(size, size);
  for (Eigen::Index i = 0; i < size; ++i) {
    for (Eigen::Index j = i; j < size; ++j) {
      // Only the lower triangle is read.
      matrix(size - 1 - i, size - 1 - j) = sums[static_cast<size_t>(i * size + j)];
    }
    matrix(size - 1 - i, size - 1 - i) += raise;
  }
  return matrix;
}

// Adds the feedback of the errors of all columns before `first` to columns [first, first +
// columns); column first + k of a row is values[k * kTileRows + row].
LORAPRESS_SIMD void add_feedback(const float* __restrict feedback,
                                 size_t size,
                                 const float* __restrict errors,
                                 size_t first,
                                 size_t columns,
                                 float* __restrict values) {
  constexpr size_t kGroup = 4;
  for (size_t k = 0; k < columns; k += kGroup) {
    const size_t group = columns - k < kGroup ? columns - k : kGroup;
    float sums[kGroup][kTileRows] = {};
    if (group == kGroup) {
      for (size_t j = 0; j < first; ++j) {
        const float* factors = feedback + j * size + first + k;
        const float* error = errors + j * kTileRows;
        for (size_t i = 0; i < kGroup; ++i) {
          for (size_t row = 0; row < kTileRows; ++row) {
            sums[i][row] += factors[i] * error[row];
          }
        }
      }
    } else {
      for (size_t j = 0; j < first; ++j) {
        for (size_t i = 0; i < group; ++i) {
          const float factor = feedback[j * size + first + k + i];
          for (size_t row = 0; row < kTileRows; ++row) {
            sums[i][row] += factor * errors[j * kTileRows + row];
          }
        }
      }
    }
    for (size_t i = 0; i < group; ++i) {
      for (size_t row = 0; row < kTileRows; ++row) {
        values[(k + i) * kTileRows + row] += sums[i][row];
      }
    }
  }
}

struct BlockScales {
  float scale[kTileRows];
  float inverse[kTileRows];
  float zero[kTileRows];
};

// Rounds one column after the other to the integer nearest to the value plus the feedback of the
// previous columns of the block. `values` includes the feedback of the previous blocks.
LORAPRESS_SIMD void round_columns(const float* __restrict feedback,
                                  size_t size,
                                  size_t columns,
                                  const BlockScales& scales,
                                  const float* __restrict values,
                                  const float* __restrict weights,
                                  float* __restrict errors,
                                  float* __restrict integers) {
  for (size_t k = 0; k < columns; ++k) {
    float wanted[kTileRows];
    for (size_t row = 0; row < kTileRows; ++row) {
      wanted[row] = values[k * kTileRows + row];
    }
    for (size_t j = 0; j < k; ++j) {
      const float factor = feedback[j * size + k];
      for (size_t row = 0; row < kTileRows; ++row) {
        wanted[row] += factor * errors[j * kTileRows + row];
      }
    }
    for (size_t row = 0; row < kTileRows; ++row) {
      float x = wanted[row] * scales.inverse[row] + scales.zero[row];
      x = x > 0.0F ? x : 0.0F;
      x = x < 15.0F ? x : 15.0F;
      x = (x + kRounder) - kRounder;
      integers[k * kTileRows + row] = x;
      errors[k * kTileRows + row] =
          weights[k * kTileRows + row] - scales.scale[row] * (x - scales.zero[row]);
    }
  }
}

// Rounds kTileRows rows at once.
class TileRounder {
 public:
  TileRounder(const BlockRows& rows, const ErrorFeedback::Factor& factor, DType scale_dtype)
      : rows_(rows),
        factor_(factor),
        scale_dtype_(scale_dtype),
        importance_(rows.blocks * rows.block_size),
        errors_(rows.blocks * rows.block_size * kTileRows) {
    std::ranges::copy(factor.importance, importance_.begin());
  }

  void round(size_t row,
             std::span<float> scales,
             std::span<uint8_t> zero_points,
             std::span<uint8_t> packed) {
    const size_t count = std::min(kTileRows, rows_.rows - row);
    const size_t pitch = rows_.blocks * rows_.block_size;
    for (size_t block = 0; block < rows_.blocks; ++block) {
      const size_t first = block * rows_.block_size;
      transpose_rows(
          rows_.values + row * pitch + first, pitch, count, rows_.block_size, weights_.data());
      const BlockScales found = round_block(first, !zero_points.empty());
      for (size_t i = 0; i < count; ++i) {
        const size_t at = (row + i) * rows_.blocks + block;
        scales[at] = found.scale[i];
        if (!zero_points.empty()) {
          zero_points[at] = static_cast<uint8_t>(found.zero[i]);
        }
        uint8_t* to = packed.data() + at * rows_.block_size / 2;
        for (size_t k = 0; k < rows_.block_size; k += 2) {
          const auto low = static_cast<uint8_t>(integers_[k * kTileRows + i]);
          const auto high = static_cast<uint8_t>(integers_[(k + 1) * kTileRows + i]);
          to[k / 2] = static_cast<uint8_t>(low | high << 4);
        }
      }
    }
  }

 private:
  BlockScales round_block(size_t first, bool zero_points) {
    const size_t block_size = rows_.block_size;
    const size_t columns = std::min(block_size, factor_.size - first);
    const float* feedback = factor_.feedback.data();
    values_ = weights_;
    add_feedback(feedback, factor_.size, errors_.data(), first, columns, values_.data());
    std::copy_n(values_.data(), block_size * kTileRows, tile_.values);
    const FoundScales found =
        search_scales(tile_, block_size, importance_.data() + first, zero_points);
    BlockScales scales;
    std::copy_n(found.scale, kTileRows, scales.scale);
    std::copy_n(found.zero, kTileRows, scales.zero);
    if (scale_dtype_ != DType::kF32) {
      std::byte stored[kTileRows * sizeof(float)];
      const std::span bytes(stored, kTileRows * dtype_size(scale_dtype_));
      from_float32(scale_dtype_, scales.scale, bytes);
      to_float32(scale_dtype_, bytes, scales.scale);
    }
    for (size_t row = 0; row < kTileRows; ++row) {
      scales.inverse[row] = reciprocal_or_zero(scales.scale[row]);
    }
    for (size_t k = columns; k < block_size; ++k) {
      std::copy_n(scales.zero, kTileRows, integers_.data() + k * kTileRows);
    }
    round_columns(feedback + first * factor_.size + first,
                  factor_.size,
                  columns,
                  scales,
                  values_.data(),
                  weights_.data(),
                  errors_.data() + first * kTileRows,
                  integers_.data());
    return scales;
  }

  using Columns = std::array<float, kMostColumns * kTileRows>;

  const BlockRows& rows_;
  const ErrorFeedback::Factor& factor_;
  DType scale_dtype_;
  std::vector<float> importance_;  // padded to whole blocks
  std::vector<float> errors_;      // [inputs][kTileRows]
  Columns weights_;                // of the block, without feedback
  Columns values_;                 // weights_ plus the feedback of the previous blocks
  Columns integers_;
  SearchTile tile_;
};

}  // namespace

std::shared_ptr<const ErrorFeedback> ErrorFeedback::of(InputMoments& moments,
                                                       std::shared_ptr<ScratchFile> file) {
  moments.flush();
  const size_t size = moments.size();
  double trace = 0.0;
  for (size_t i = 0; i < size; ++i) {
    trace += static_cast<double>(moments.sums()[i * size + i]);
  }
  const double mean = trace / static_cast<double>(size);
  if (!std::isfinite(mean) || mean < static_cast<double>(std::numeric_limits<float>::min())) {
    return nullptr;
  }
  Matrix matrix;
  constexpr double kMostDamping = 10.0;
  for (double damping = kDamping; damping <= kMostDamping; damping *= 10.0) {
    matrix = reversed(moments, static_cast<float>(damping * mean));
    const Eigen::LLT<Eigen::Ref<Matrix>> factorised(matrix);
    if (factorised.info() == Eigen::Success) {
      break;
    }
    matrix.resize(0, 0);
  }
  if (matrix.size() == 0) {
    return nullptr;
  }
  // In the original order the lower factor is an upper factor R with H = R R^T: D_i = R_ii^2, U_ji
  // = R_ji / R_ii.
  const auto last = static_cast<Eigen::Index>(size) - 1;
  std::shared_ptr<ErrorFeedback> made(new ErrorFeedback);
  std::vector<float> rows;
  double sum = 0.0;
  for (Eigen::Index j = 0; j <= last; ++j) {
    for (Eigen::Index i = j + 1; i <= last; ++i) {
      rows.push_back(matrix(last - j, last - i) / matrix(last - i, last - i));
    }
    const float root = matrix(last - j, last - j);
    made->importance_.push_back(root * root);
    sum += static_cast<double>(root) * static_cast<double>(root);
  }
  const auto scale = static_cast<float>(static_cast<double>(size) / sum);
  for (float& value : made->importance_) {
    value *= scale;
  }
  made->offset_ = file->append(std::as_bytes(std::span(rows)));
  made->file_ = std::move(file);
  return made;
}

std::shared_ptr<const ErrorFeedback::Factor> ErrorFeedback::load() const {
  const std::lock_guard lock(mutex_);
  if (auto loaded = loaded_.lock()) {
    return loaded;
  }
  auto factor = std::make_shared<Factor>();
  factor->size = size();
  factor->importance = importance_;
  factor->feedback.resize(size() * size());
  uint64_t offset = offset_;
  for (size_t j = 0; j + 1 < size(); ++j) {
    const auto row = std::span(factor->feedback).subspan(j * size() + j + 1, size() - j - 1);
    file_->read_at(offset, std::as_writable_bytes(row));
    offset += row.size_bytes();
  }
  loaded_ = factor;
  return factor;
}

void round_with_feedback(const BlockRows& rows,
                         const ErrorFeedback::Factor& factor,
                         DType scale_dtype,
                         std::span<float> scales,
                         std::span<uint8_t> zero_points,
                         std::span<uint8_t> packed) {
  const auto rounder = std::make_unique<TileRounder>(rows, factor, scale_dtype);
  for (size_t row = 0; row < rows.rows; row += kTileRows) {
    rounder->round(row, scales, zero_points, packed);
  }
}

}  // namespace lorapress
