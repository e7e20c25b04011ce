// Any .onnx file as a Model: its weights stay in their files until somebody writes them.
#ifndef LORAPRESS_GRAPH_READ_ONNX_H_
#define LORAPRESS_GRAPH_READ_ONNX_H_

#include <filesystem>
#include <vector>

#include "graph/model.h"

namespace lorapress {

// The oldest opset that the schemes' operators belong to; the newest is that of the ONNX sources.
inline constexpr int64_t kFirstOpset = 11;

// Reads the graph, finds the weights (in the file, in external data beside it, in typed fields),
// inlines local functions, hoists the weights of bodies (read_scopes.h) and infers types.
// `files`, where given, becomes the files that were opened, the model first. Throws kNotFound,
// kInvalidFile or kUnsupported.
Model read_onnx(const std::filesystem::path& path,
                std::vector<std::filesystem::path>* files = nullptr);

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_READ_ONNX_H_
