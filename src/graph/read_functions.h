// Local functions of a model, replaced by their nodes.
#ifndef LORAPRESS_GRAPH_READ_FUNCTIONS_H_
#define LORAPRESS_GRAPH_READ_FUNCTIONS_H_

#include <filesystem>

#include "onnx/onnx-ml.pb.h"

namespace lorapress {

// Inlines every call and removes the functions. Throws kUnsupported for functions that call
// themselves, need other opsets than the model, or would become more than a million nodes.
void inline_functions(onnx::ModelProto& proto, const std::filesystem::path& path);

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_READ_FUNCTIONS_H_
