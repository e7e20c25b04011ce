#include "weights/residual.h"

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <mutex>

#include "base/convert.h"
#include "base/fail.h"

namespace lorapress {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using FloatMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Rows or columns of the base in memory at a time.
constexpr int64_t kColumns = 256;

Matrix read_block(const Weight& weight, const Block& block) {
  FloatMatrix values(block.rows, block.cols);
  weight.read_floats(block, {values.data(), block.elements()});
  return values.cast<double>();
}

// left [rows, r] * right [r, cols]
struct Factors {
  FloatMatrix left;
  FloatMatrix right;
};

class ResidualWeight final : public Weight {
 public:
  ResidualWeight(WeightPtr base, Change change)
      : Weight(base->dtype(), base->shape()), base_(std::move(base)), change_(std::move(change)) {
    if (shape().size() != 2 || !dtype_row(dtype()).is_float) {
      fail(ErrorCode::kUnsupported,
           "{}: this initialization is of linear layers, the base is [{}] in {}",
           change_.where,
           fmt::join(shape(), ", "),
           dtype_name(dtype()));
    }
    const int64_t most = std::min(rows(), cols()) - (change_.part == MatrixPart::kSmallest ? 1 : 0);
    if (change_.rank > most) {
      fail(ErrorCode::kMismatch,
           "{}: the rank is {}, this initialization has at most {} for a base of [{}]",
           change_.where,
           change_.rank,
           most,
           fmt::join(shape(), ", "));
    }
  }

  void read(const Block& block, std::span<std::byte> out) const override {
    std::vector<float> values(block.elements());
    subtract(block, values);
    from_float32(dtype(), values, out);
  }

  void read_floats(const Block& block, std::span<float> out) const override {
    subtract(block, out);
    if (dtype() != DType::kF32 && dtype() != DType::kF64) {  // the adapter saw rounded values
      std::vector<std::byte> stored(block.elements() * dtype_size(dtype()));
      from_float32(dtype(), out, stored);
      to_float32(dtype(), stored, out);
    }
  }

  [[nodiscard]] bool row_wise() const override { return base_->row_wise(); }

 private:
  void subtract(const Block& block, std::span<float> out) const {
    base_->read_floats(block, out);
    const Factors& part = factors();
    Eigen::Map<FloatMatrix> values(out.data(), block.rows, block.cols);
    values.noalias() -=
        part.left.middleRows(block.row, block.rows) * part.right.middleCols(block.col, block.cols);
  }

  const Factors& factors() const {
    const std::lock_guard lock(mutex_);
    if (factors_.left.size() == 0) {
      factors_ = change_.part == MatrixPart::kFirstColumns ? projection() : singular_part();
    }
    return factors_;
  }

  [[noreturn]] void refuse(std::string_view why) const {
    fail(ErrorCode::kUnsupported,
         "{}: the base cannot be changed again as before training: {}; save the adapter with "
         "path_initial_model_for_weight_conversion",
         change_.where,
         why);
  }

  // W W^T or W^T W, whichever is smaller, summed over stripes along the longer side.
  [[nodiscard]] Matrix gram() const {
    const bool wide = rows() <= cols();
    const int64_t side = std::min(rows(), cols());
    const int64_t length = std::max(rows(), cols());
    Matrix sum = Matrix::Zero(side, side);
    for (int64_t at = 0; at < length; at += kColumns) {
      const int64_t count = std::min(kColumns, length - at);
      const Matrix stripe =
          read_block(*base_, wide ? Block{0, side, at, count} : Block{at, count, 0, side});
      if (wide) {
        sum.selfadjointView<Eigen::Lower>().rankUpdate(stripe);
      } else {
        sum.selfadjointView<Eigen::Lower>().rankUpdate(stripe.transpose());
      }
    }
    if (!sum.allFinite()) {
      refuse("not all of its numbers are finite");
    }
    return sum;
  }

  // U_r (U_r^T W) or (W V_r) V_r^T, whichever side is shorter: both are the sum over r triplets.
  [[nodiscard]] Factors singular_part() const {
    const Eigen::SelfAdjointEigenSolver<Matrix> solver(gram());  // ascending
    if (solver.info() != Eigen::Success) {
      refuse("its singular values were not found");
    }
    const int64_t side = std::min(rows(), cols());
    const bool largest = change_.part == MatrixPart::kLargest;
    const auto singular = [&](int64_t index) {
      return std::sqrt(std::max(solver.eigenvalues()[index], 0.0));
    };
    const int64_t cut = largest ? side - change_.rank : change_.rank;
    if (cut != 0) {
      check_gap(singular(cut), singular(cut - 1), singular(side - 1));
    }
    const Matrix basis = largest ? solver.eigenvectors().rightCols(change_.rank)
                                 : solver.eigenvectors().leftCols(change_.rank);
    return with_basis(basis, rows() <= cols());
  }

  // With equal singular values on both sides of the cut, any mixture of their vectors is an SVD.
  // PEFT's own SVD in float32 moves the part by about eps * above / (above - below).
  void check_gap(double above, double below, double first) const {
    constexpr double kLeastGap = 1e-5;
    constexpr double kNothing = 1e-6;  // relative to `first`; below, the whole part is noise
    if (above > kNothing * first && above - below < kLeastGap * above) {
      refuse(fmt::format("its singular values at rank {} are equal ({:.6g} and {:.6g})",
                         change_.rank,
                         above,
                         below));
    }
  }

  // The two factors of scale * (W projected on `basis`): orthonormal columns [side, r] of the left
  // or the right singular vectors.
  [[nodiscard]] Factors with_basis(const Matrix& basis, bool left) const {
    Factors part;
    const int64_t length = left ? cols() : rows();
    Matrix other(length, basis.cols());
    for (int64_t at = 0; at < length; at += kColumns) {
      const int64_t count = std::min(kColumns, length - at);
      if (left) {
        other.middleRows(at, count).noalias() =
            read_block(*base_, {0, rows(), at, count}).transpose() * basis;
      } else {
        other.middleRows(at, count).noalias() = read_block(*base_, {at, count, 0, cols()}) * basis;
      }
    }
    const Matrix scaled = change_.scale * other;
    part.left = (left ? basis : scaled).cast<float>();
    part.right = (left ? scaled : basis).transpose().cast<float>();
    return part;
  }

  // Q[:, :r] R[:r] with W = Q R is Q_r (Q_r^T W), and Q_r spans the first r columns of W.
  [[nodiscard]] Factors projection() const {
    const Matrix first = read_block(*base_, {0, rows(), 0, change_.rank});
    if (!first.allFinite()) {
      refuse("not all of its numbers are finite");
    }
    const Eigen::HouseholderQR<Matrix> qr(first);
    const Eigen::VectorXd diagonal = qr.matrixQR().diagonal().cwiseAbs();
    constexpr double kDependent = 1e-5;
    if (diagonal.minCoeff() < kDependent * diagonal.maxCoeff() || diagonal.maxCoeff() == 0.0) {
      refuse(fmt::format("its first {} columns depend on each other", change_.rank));
    }
    const Matrix basis = qr.householderQ() * Matrix::Identity(rows(), change_.rank);
    return with_basis(basis, true);
  }

  WeightPtr base_;
  Change change_;
  mutable std::mutex mutex_;
  mutable Factors factors_;
};

class MovedWeight final : public Weight {
 public:
  MovedWeight(WeightPtr base, WeightPtr from, WeightPtr to)
      : Weight(base->dtype(), base->shape()),
        base_(std::move(base)),
        from_(std::move(from)),
        to_(std::move(to)) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    std::vector<float> values(block.elements());
    read_floats(block, values);
    from_float32(dtype(), values, out);
  }

  void read_floats(const Block& block, std::span<float> out) const override {
    std::vector<float> from(block.elements());
    std::vector<float> to(block.elements());
    base_->read_floats(block, out);
    from_->read_floats(block, from);
    to_->read_floats(block, to);
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] += to[i] - from[i];
    }
  }

  [[nodiscard]] bool row_wise() const override { return base_->row_wise(); }

 private:
  WeightPtr base_;
  WeightPtr from_;
  WeightPtr to_;
};

}  // namespace

WeightPtr without_part(WeightPtr base, Change change) {
  return std::make_shared<ResidualWeight>(std::move(base), std::move(change));
}

WeightPtr moved_by(WeightPtr base, WeightPtr from, WeightPtr to) {
  return std::make_shared<MovedWeight>(std::move(base), std::move(from), std::move(to));
}

}  // namespace lorapress
