// What an .onnx file holds, read without its weights.
#ifndef LORAPRESS_GRAPH_ONNX_SUMMARY_H_
#define LORAPRESS_GRAPH_ONNX_SUMMARY_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "graph/value.h"

namespace lorapress {

struct OnnxSummary {
  struct Port {
    std::string name;
    std::string type;  // float32[batch_size, 3, 224, 224]
  };
  int64_t ir_version = 0;
  std::string producer;
  std::map<std::string, int64_t> opsets;      // domain ("ai.onnx" for the default) -> version
  std::map<std::string, uint64_t> operators;  // domain-qualified type -> nodes
  std::vector<Port> inputs;
  std::vector<Port> outputs;
  std::map<std::string, uint64_t> dtype_bytes;  // of initializers
  uint64_t parameters = 0;
  uint64_t external_files = 0;
};

// Reads the protobuf fields one by one and skips the raw bytes of weights: memory does not grow
// with the file. Throws kInvalidFile for anything that is not a whole ONNX model.
OnnxSummary summarise_onnx(const std::filesystem::path& path);

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_ONNX_SUMMARY_H_
