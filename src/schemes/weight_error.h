// How far quantized weights are from what they were.
#ifndef LORAPRESS_SCHEMES_WEIGHT_ERROR_H_
#define LORAPRESS_SCHEMES_WEIGHT_ERROR_H_

#include <string>
#include <vector>

#include "graph/model.h"

namespace lorapress {

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

// Weights that the pass changed: quantized ones, and those stored in a narrower dtype under the
// same name. Streams: memory does not grow with the model.
WeightErrors weight_errors(const Model& original, const Model& pressed, unsigned threads);

}  // namespace lorapress

#endif  // LORAPRESS_SCHEMES_WEIGHT_ERROR_H_
