// A plain matrix of activations: rows are positions, of one sequence after the other.
#ifndef LORAPRESS_VERIFY_ROWS_H_
#define LORAPRESS_VERIFY_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lorapress {

template <typename T>
struct BasicRows {
  BasicRows() = default;
  BasicRows(int64_t row_count, int64_t col_count)
      : rows(row_count), cols(col_count), values(static_cast<size_t>(row_count * col_count)) {}

  [[nodiscard]] std::span<T> row(int64_t index) {
    return std::span(values).subspan(static_cast<size_t>(index * cols), static_cast<size_t>(cols));
  }
  [[nodiscard]] std::span<const T> row(int64_t index) const {
    return std::span(values).subspan(static_cast<size_t>(index * cols), static_cast<size_t>(cols));
  }

  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<T> values;  // row-major
};
using Rows = BasicRows<float>;

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_ROWS_H_
