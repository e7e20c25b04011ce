// Any .onnx file as a Model: its weights stay in their files until a writer reads them.
#ifndef LORAPRESS_GRAPH_READ_ONNX_H_
#define LORAPRESS_GRAPH_READ_ONNX_H_

#include <filesystem>
#include <vector>

#include "graph/model.h"

namespace lorapress {

// The oldest opset that ONNX Runtime runs; the newest is that of the ONNX sources. Nodes are not
// converted to another opset.
inline constexpr int64_t kFirstOpset = 7;

// Reads the graph, finds the weights (in the file, in external data beside it, in typed fields),
// inlines local functions, hoists the weights of bodies (read_scopes.h) and infers types. `files`,
// where given, becomes the files that were opened, the model first. Initializers that are also
// inputs are the defaults of these inputs from IR version 4 on, where callers may feed other
// values; before IR version 4, and with `freeze_inputs`, they are constants. Throws kNotFound,
// kInvalidFile or kUnsupported.
Model read_onnx(const std::filesystem::path& path,
                std::vector<std::filesystem::path>* files = nullptr,
                bool freeze_inputs = false);

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_READ_ONNX_H_
