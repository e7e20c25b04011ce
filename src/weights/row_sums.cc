#include "weights/row_sums.h"

#include <algorithm>
#include <cstring>

namespace lorapress {
namespace {

class RowSums : public Weight {
 public:
  RowSums(const WeightPtr& source, std::vector<RowSum> rows)
      : Weight(DType::kF32, {static_cast<int64_t>(rows.size()), source->cols()}),
        source_(source),
        sums_(std::move(rows)) {}

  void read(const Block& block, std::span<std::byte> out) const override {
    std::vector<float> floats(block.elements());
    read_floats(block, floats);
    std::memcpy(out.data(), floats.data(), out.size());
  }

  void read_floats(const Block& block, std::span<float> out) const override {
    const auto width = static_cast<size_t>(block.cols);
    std::vector<float> row(width);
    std::vector<double> sum(width);
    for (int64_t i = 0; i < block.rows; ++i) {
      std::ranges::fill(sum, 0.0);
      for (const RowTerm& term : sums_[static_cast<size_t>(block.row + i)]) {
        source_->read_floats({term.row, 1, block.col, block.cols}, row);
        for (size_t j = 0; j < width; ++j) {
          sum[j] += term.factor * static_cast<double>(row[j]);
        }
      }
      for (size_t j = 0; j < width; ++j) {
        out[static_cast<size_t>(i) * width + j] = static_cast<float>(sum[j]);
      }
    }
  }

 private:
  WeightPtr source_;
  std::vector<RowSum> sums_;
};

}  // namespace

WeightPtr row_sums(WeightPtr source, std::vector<RowSum> rows) {
  return std::make_shared<RowSums>(source, std::move(rows));
}

}  // namespace lorapress
