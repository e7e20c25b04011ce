// Calibration: a model that also tells how large the inputs of its linear layers are.
#ifndef LORAPRESS_PASSES_OBSERVE_H_
#define LORAPRESS_PASSES_OBSERVE_H_

#include <map>
#include <string>

#include "graph/model.h"

namespace lorapress {

// Adds an output float32 [in_features] for every activation that a MatMul or Gemm of the main graph
// multiplies with a constant matrix: the sum of its squares over all rows of the call. Layers that
// read the same activation share one; of a weight that several layers read the first counts.
// Returns the name of the output by that of the weight.
std::map<std::string, std::string> observe_linear_inputs(Model& model);

}  // namespace lorapress

#endif  // LORAPRESS_PASSES_OBSERVE_H_
