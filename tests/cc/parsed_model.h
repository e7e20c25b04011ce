// Models from ONNX's text form (onnx/docs/Syntax.md), with lazy weights added by name, and what
// ONNX Runtime makes of them.
#ifndef LORAPRESS_TESTS_CC_PARSED_MODEL_H_
#define LORAPRESS_TESTS_CC_PARSED_MODEL_H_

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "graph/write.h"
#include "onnx/defs/parser.h"
#include "runtime/ort/ort.h"
#include "test_util.h"
#include "weights/stream.h"

namespace lorapress::test {

using Weights = std::map<std::string, WeightPtr>;

// Of a graph `text` such as "g (float[b,4] x) => (float[b,3] y) { y = MatMul(x, w) }".
inline Model parsed_model(const std::string& text, const Weights& weights, int opset = 17) {
  Model model;
  const std::string head = "<ir_version: 8, opset_import: [\"\" : " + std::to_string(opset) +
                           ", \"com.microsoft\" : 1]>\n";
  const std::string whole = head + text;
  const auto status = onnx::OnnxParser::Parse(model.proto, whole.c_str());
  EXPECT_TRUE(status.IsOK()) << status.ErrorMessage();
  for (const auto& [name, weight] : weights) {
    *model.proto.mutable_graph()->add_initializer() = declare(name, *weight);
    model.weights.emplace(name, weight);
  }
  return model;
}

inline WeightPtr random_weight(Shape shape, uint32_t seed, float scale = 1.0F) {
  size_t count = 1;
  for (const int64_t dim : shape) {
    count *= static_cast<size_t>(dim);
  }
  return float_constant(std::move(shape), Random(seed).numbers(count, scale));
}

// Nodes of the main graph and of bodies.
inline void all_nodes(const onnx::GraphProto& graph, std::vector<onnx::NodeProto>& nodes) {
  for (const auto& node : graph.node()) {
    nodes.push_back(node);
    for (const auto& attribute : node.attribute()) {
      if (attribute.has_g()) {
        all_nodes(attribute.g(), nodes);
      }
    }
  }
}

inline size_t count_nodes(const Model& model, const std::string& op) {
  std::vector<onnx::NodeProto> nodes;
  all_nodes(model.proto.graph(), nodes);
  return static_cast<size_t>(
      std::ranges::count_if(nodes, [&](const auto& node) { return node.op_type() == op; }));
}

// The float outputs, in the graph's order.
inline std::vector<std::vector<float>> run_model(const Model& model,
                                                 const std::vector<OrtSession::Feed>& feeds) {
  const TempFolder folder;
  StreamOptions options;
  options.threads = 1;
  write_files(plan_onnx(model, folder / "model.onnx", false), options);
  const OrtSession session(folder / "model.onnx", 1);
  std::vector<std::string> wanted;
  for (const auto& output : model.proto.graph().output()) {
    wanted.push_back(output.name());
  }
  std::vector<std::vector<float>> results;
  for (const OrtTensor& tensor : session.run(feeds, wanted)) {
    const auto values = tensor.as_floats();
    results.emplace_back(values.begin(), values.end());
  }
  return results;
}

inline float largest_gap(const std::vector<float>& left, const std::vector<float>& right) {
  EXPECT_EQ(left.size(), right.size());
  float most = 0.0F;
  for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    const float gap = std::fabs(left[i] - right[i]);
    most = gap <= most ? most : gap;  // NaN goes through
  }
  return most;
}

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_PARSED_MODEL_H_
