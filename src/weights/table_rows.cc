#include "weights/table_rows.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/buffer.h"
#include "base/fail.h"

namespace lorapress {
namespace {

class ReplacedRows final : public Weight {
 public:
  ReplacedRows(WeightPtr base, WeightPtr rows, std::map<int64_t, int64_t> places, int64_t count)
      : Weight(base->dtype(), {count, base->cols()}),
        base_(std::move(base)),
        rows_(std::move(rows)),
        stored_rows_(cast(rows_, dtype())),
        places_(std::move(places)) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    fill<std::byte>(
        *stored_rows_, block, out, [](const Weight& from, const Block& where, auto target) {
          from.read(where, target);
        });
  }

  void read_floats(const Block& block, std::span<float> out) const override {
    fill<float>(*rows_, block, out, [](const Weight& from, const Block& where, auto target) {
      from.read_floats(where, target);
    });
  }

  [[nodiscard]] bool row_wise() const override { return base_->row_wise(); }

 private:
  template <typename T, typename Read>
  void fill(const Weight& rows, const Block& block, std::span<T> out, const Read& read) const {
    const size_t pitch = block.rows == 0 ? 0 : out.size() / static_cast<size_t>(block.rows);
    const int64_t known = std::min(block.row + block.rows, base_->rows()) - block.row;
    if (known > 0) {
      read(*base_,
           Block{block.row, known, block.col, block.cols},
           out.first(static_cast<size_t>(known) * pitch));
    }
    for (auto place = places_.lower_bound(block.row);
         place != places_.end() && place->first < block.row + block.rows;
         ++place) {
      read(rows,
           Block{place->second, 1, block.col, block.cols},
           out.subspan(static_cast<size_t>(place->first - block.row) * pitch, pitch));
    }
  }

  WeightPtr base_;
  WeightPtr rows_;
  WeightPtr stored_rows_;              // rounded to the base's dtype
  std::map<int64_t, int64_t> places_;  // row of the result -> row of rows_
};

}  // namespace

WeightPtr replace_rows(WeightPtr base, WeightPtr rows, const std::vector<int64_t>& indices) {
  if (base->shape().size() != 2 || rows->shape().size() != 2 || rows->cols() != base->cols() ||
      std::cmp_not_equal(rows->rows(), indices.size())) {
    fail(ErrorCode::kMismatch,
         "{} token indices and rows [{}] do not fit a table [{}]",
         indices.size(),
         fmt::join(rows->shape(), ", "),
         fmt::join(base->shape(), ", "));
  }
  for (const WeightPtr& part : {base, rows}) {
    if (!dtype_row(part->dtype()).is_float) {
      fail(ErrorCode::kMismatch, "a table of {}, expected floats", dtype_name(part->dtype()));
    }
  }
  std::map<int64_t, int64_t> places;
  int64_t given = 0;
  for (const int64_t index : indices) {
    if (index < 0 || !places.emplace(index, given++).second) {
      fail(ErrorCode::kMismatch,
           "token index {} {}",
           index,
           index < 0 ? "is negative" : "stands twice");
    }
  }
  int64_t count = base->rows();
  for (auto place = places.lower_bound(count); place != places.end(); ++place, ++count) {
    if (place->first != count) {
      fail(ErrorCode::kMismatch,
           "row {} is not given: the base ends with row {} and the next token index is {}",
           count,
           base->rows() - 1,
           place->first);
    }
  }
  return std::make_shared<ReplacedRows>(std::move(base), std::move(rows), std::move(places), count);
}

bool same_values(const Weight& left, const Weight& right) {
  if (left.same_as(right)) {
    return true;
  }
  if (left.shape() != right.shape() || left.dtype() != right.dtype()) {
    return false;
  }
  if (left.values() == 0) {
    return true;
  }
  // Compares bytes where both weights lie in files, otherwise floats: read_floats() shows
  // differences that rounding to the dtype hides.
  const bool floats = dtype_row(left.dtype()).is_float && !(left.extent() && right.extent());
  const size_t unit = floats ? sizeof(float) : dtype_size(left.dtype());
  constexpr int64_t kBytes = int64_t{1} << 20;
  const int64_t per_row = left.cols() * static_cast<int64_t>(unit);
  const int64_t step = std::max<int64_t>(1, kBytes / per_row);
  const int64_t width = std::max<int64_t>(1, std::min(left.cols(), kBytes / 4));
  Buffer<std::byte> values[2];
  for (int64_t row = 0; row < left.rows(); row += step) {
    for (int64_t col = 0; col < left.cols(); col += width) {
      const Block block{
          row, std::min(step, left.rows() - row), col, std::min(width, left.cols() - col)};
      for (size_t side = 0; side < 2; ++side) {
        const Weight& weight = side == 0 ? left : right;
        values[side].resize(block.elements() * unit);
        if (floats) {
          weight.read_floats(block,
                             {reinterpret_cast<float*>(values[side].data()), block.elements()});
        } else {
          weight.read(block, values[side].span());
        }
      }
      if (std::memcmp(values[0].data(), values[1].data(), values[0].size()) != 0) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace lorapress
