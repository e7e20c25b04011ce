// What reports need of a quantized weight: the original values and those that a runtime restores.
#ifndef LORAPRESS_QUANT_QUANTIZED_WEIGHT_H_
#define LORAPRESS_QUANT_QUANTIZED_WEIGHT_H_

#include <string>
#include <utility>

#include "weights/weight.h"

namespace lorapress {

// Base class of the weights that hold a quantized matrix's integers, in the form of each quantizer.
class QuantizedWeight : public Weight {
 public:
  QuantizedWeight(DType dtype, Shape shape, std::string original_name, const WeightPtr& matrix)
      : Weight(dtype, std::move(shape), {matrix}), original_name_(std::move(original_name)) {}

  // The matrix's name in the graph before the pass.
  [[nodiscard]] const std::string& original_name() const { return original_name_; }
  // The matrix that was quantized; it may be a transposed view of the original.
  [[nodiscard]] const Weight& matrix() const { return *sources()[0]; }
  // Rows [row, row + rows) of the matrix, and the same rows as a runtime restores them. Each span
  // holds rows * matrix().cols() values.
  virtual void restore(int64_t row,
                       int64_t rows,
                       std::span<float> original,
                       std::span<float> restored) const = 0;

 private:
  std::string original_name_;
};

}  // namespace lorapress

#endif  // LORAPRESS_QUANT_QUANTIZED_WEIGHT_H_
