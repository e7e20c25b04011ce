// How far quantized weights are from what they were.
#ifndef LORAPRESS_TESTS_CC_WEIGHT_ERROR_H_
#define LORAPRESS_TESTS_CC_WEIGHT_ERROR_H_

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/convert.h"
#include "base/threads.h"
#include "graph/model.h"
#include "quant/quantized_weight.h"

namespace lorapress::test {

struct WeightError {
  std::string name;  // of the weight before the pass
  uint64_t elements = 0;
  double error_square = 0.0;   // sum of (w - restored)^2
  double weight_square = 0.0;  // sum of w^2
  // ||w - restored|| / ||w||; 0 for a matrix of zeros that stays one.
  [[nodiscard]] double relative() const;
};

struct WeightErrors {
  std::vector<WeightError> weights;  // sorted by name
  WeightError all;                   // of all of them together
};

inline void add(std::span<const float> original,
                std::span<const float> restored,
                WeightError& sum) {
  for (size_t i = 0; i < original.size(); ++i) {
    const auto value = static_cast<double>(original[i]);
    const double error = value - static_cast<double>(restored[i]);
    sum.error_square += error * error;
    sum.weight_square += value * value;
  }
  sum.elements += original.size();
}

// Portions of rows of about a megabyte; a transposed matrix in larger ones.
inline void for_portions(const Weight& matrix, const std::function<void(const Block& block)>& use) {
  const int64_t bytes = int64_t{matrix.row_wise() ? 1 : 8} << 20;
  const int64_t columns = std::max<int64_t>(matrix.cols(), 1);
  const int64_t portion = std::max<int64_t>(1, bytes / (4 * columns));
  for (int64_t row = 0; row < matrix.rows(); row += portion) {
    use({row, std::min(portion, matrix.rows() - row), 0, matrix.cols()});
  }
}

inline WeightError quantized_error(const QuantizedWeight& weight) {
  WeightError sum;
  sum.name = weight.original_name();
  Buffer<float> original;
  Buffer<float> restored;
  for_portions(weight.matrix(), [&](const Block& block) {
    original.resize(block.elements());
    restored.resize(block.elements());
    weight.restore(block.row, block.rows, original.span(), restored.span());
    add(original.span(), restored.span(), sum);
  });
  return sum;
}

// The integers that a weight is, or that it is a view of; null where there are none.
const QuantizedWeight* quantized_in(const Weight& weight) {
  const auto* found = dynamic_cast<const QuantizedWeight*>(&weight);
  const bool view = found == nullptr && weight.group() == nullptr && weight.sources().size() == 1;
  return view ? quantized_in(*weight.sources()[0]) : found;
}

// Read as stored: a view may give more than its dtype holds.
inline void read_stored(const Weight& weight, const Block& block, std::span<float> out) {
  Buffer<std::byte> bytes(block.elements() * dtype_size(weight.dtype()));
  weight.read(block, bytes.span());
  to_float32(weight.dtype(), bytes.span(), out);
}

inline WeightError cast_error(const std::string& name, const Weight& before, const Weight& after) {
  WeightError sum;
  sum.name = name;
  Buffer<float> original;
  Buffer<float> restored;
  for_portions(before, [&](const Block& block) {
    original.resize(block.elements());
    restored.resize(block.elements());
    before.read_floats(block, original.span());
    read_stored(after, block, restored.span());
    add(original.span(), restored.span(), sum);
  });
  return sum;
}

inline double WeightError::relative() const {
  return error_square == 0.0 ? 0.0 : std::sqrt(error_square / weight_square);
}

// Weights that the pass changed: quantized ones, and those stored in a narrower dtype under the
// same name. Streams: memory does not grow with the model.
inline WeightErrors weight_errors(const Model& original, const Model& pressed, unsigned threads) {
  std::vector<std::function<WeightError()>> tasks;
  for (const auto& [name, weight] : pressed.weights) {
    if (const QuantizedWeight* quantized = quantized_in(*weight)) {
      tasks.emplace_back([quantized] { return quantized_error(*quantized); });
      continue;
    }
    const auto before = original.weights.find(name);
    if (before == original.weights.end() || before->second->shape() != weight->shape() ||
        before->second->dtype() == weight->dtype() || !dtype_row(weight->dtype()).is_float ||
        !dtype_row(before->second->dtype()).is_float) {
      continue;
    }
    tasks.emplace_back([&name, old = before->second.get(), now = weight.get()] {
      return cast_error(name, *old, *now);
    });
  }
  WeightErrors errors;
  errors.weights.resize(tasks.size());
  parallel_for(tasks.size(), threads, [&](size_t index, unsigned /*worker*/) {
    errors.weights[index] = tasks[index]();
  });
  std::ranges::sort(errors.weights, {}, &WeightError::name);
  for (const WeightError& error : errors.weights) {
    errors.all.elements += error.elements;
    errors.all.error_square += error.error_square;
    errors.all.weight_square += error.weight_square;
  }
  return errors;
}

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_WEIGHT_ERROR_H_
