// Inlines the local functions of a model.
#ifndef LORAPRESS_GRAPH_READ_FUNCTIONS_H_
#define LORAPRESS_GRAPH_READ_FUNCTIONS_H_

#include <filesystem>

#include "onnx/onnx-ml.pb.h"

namespace lorapress {

// Replaces every call of a local function by the function's nodes and removes the functions. Throws
// kUnsupported for functions that call themselves, need other opsets than the model, or would
// expand to more than a million nodes.
void inline_functions(onnx::ModelProto& proto, const std::filesystem::path& path);

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_READ_FUNCTIONS_H_
