// Calibration: adds the inputs of linear layers to a model's outputs.
#ifndef LORAPRESS_REWRITE_OBSERVE_H_
#define LORAPRESS_REWRITE_OBSERVE_H_

#include <map>
#include <string>

#include "graph/model.h"

namespace lorapress {

struct ObservedInput {
  std::string output;  // float32 [rows, size]
  size_t size = 0;
};

// Adds an output for every activation that a product of the main graph (matrix_use) multiplies with
// a constant float32 matrix: its rows, unchanged. Layers that read the same activation share one
// output; for a weight that several layers read, the first layer's input is taken. Returns the
// outputs by the name of the weight.
std::map<std::string, ObservedInput> observe_linear_inputs(Model& model);

}  // namespace lorapress

#endif  // LORAPRESS_REWRITE_OBSERVE_H_
