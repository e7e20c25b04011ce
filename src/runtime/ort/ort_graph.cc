#include "runtime/ort/ort_graph.h"

#include <onnx/onnx-ml.pb.h>

#include "base/file.h"
#include "runtime/ort/ort.h"

namespace lorapress {
namespace {

// The file's bytes and, behind them, a model that has further outputs alone: protobuf merges repeated messages, so
// the bytes before need not be parsed or moved. Types are inferred.
std::vector<std::byte> with_outputs(const std::filesystem::path& path,
                                    const std::vector<std::string>& names) {
  const InputFile file(path);
  std::vector<std::byte> bytes(static_cast<size_t>(file.size()));
  file.read_at(0, bytes);
  onnx::ModelProto model;
  for (const std::string& name : names) {
    model.mutable_graph()->add_output()->set_name(name);
  }
  const std::string more = model.SerializeAsString();
  const auto view = std::as_bytes(std::span(more));
  bytes.insert(bytes.end(), view.begin(), view.end());
  return bytes;
}

}  // namespace

std::unique_ptr<GraphSession> open_ort_graph(const GraphSource& source, unsigned threads) {
  if (source.more_outputs.empty()) {
    return std::make_unique<OrtSession>(source.file, threads);
  }
  return std::make_unique<OrtSession>(
      with_outputs(source.file, source.more_outputs), source.file, threads);
}

}  // namespace lorapress
