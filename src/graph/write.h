// Writes models as .onnx files, streamed: the protobuf framing around every weight is written by
// hand, so no ModelProto ever holds the weights.
#ifndef LORAPRESS_GRAPH_WRITE_H_
#define LORAPRESS_GRAPH_WRITE_H_

#include <filesystem>
#include <memory>
#include <set>
#include <vector>

#include "graph/model.h"
#include "weights/stream.h"

namespace lorapress {

// A protobuf message must be smaller than 2 GiB, and so must a file that web runtimes read.
inline constexpr uint64_t kMaxOnnxFile = (uint64_t{1} << 31) - (uint64_t{1} << 20);

// Weights up to this size are written inside the graph whatever else is external: ONNX Runtime
// cannot parse shapes and axes from external data.
inline constexpr uint64_t kSmallTensor = 1024;

// One plan for the .onnx file, then one for each external data file. Weights above kSmallTensor go
// to <file>.onnx_data, <file>.onnx_data_1, … (the names transformers.js looks for) when `external`
// is set or the file would exceed kMaxOnnxFile.
std::vector<FilePlan> plan_onnx(const Model& model,
                                const std::filesystem::path& path,
                                bool external);

// External data that several graphs read: a weight that two graphs have under the same name and
// with the same content (Weight::same_as) is stored once. The graphs must be in the data file's
// folder or in one above it, as ONNX requires.
class SharedData {
 public:
  explicit SharedData(std::filesystem::path file);  // <name>.onnx_data; further ones get _1, _2, …
  ~SharedData();
  SharedData(SharedData&&) noexcept;

  // The plan of one graph's .onnx file; its large weights are placed here.
  FilePlan plan_graph(const Model& model, const std::filesystem::path& path);
  // The data files of the graphs that were planned since the last call.
  std::set<std::filesystem::path> take_used();
  // The plans of the data files. Call it after all plan_graph() calls.
  std::vector<FilePlan> take();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_WRITE_H_
