#include "rewrite/observe.h"

#include "graph/model_proto.h"
#include "rewrite/constant_matrices.h"

namespace lorapress {
namespace {

// The length of the activation's last axis when the node multiplies it with a constant float32
// matrix; 0 otherwise.
int64_t in_features(const Rewriter& graph, const onnx::NodeProto& node) {
  const auto use = matrix_use(graph, node);
  const WeightPtr weight =
      use && use->kind == MatrixUse::Kind::kProduct ? graph.weight(use->weight) : nullptr;
  return weight && weight->dtype() == DType::kF32 ? weight->shape()[use->rows_are_outputs ? 1 : 0]
                                                  : 0;
}

//  activation [..., k] -- Reshape [rows, k]
std::string add_observer(Rewriter& rewriter, const std::string& activation, int64_t k) {
  onnx::GraphProto* graph = rewriter.model().proto.mutable_graph();
  const std::string name = rewriter.unique("/observed/" + activation);
  *graph->add_node() = make_node("Reshape", name, {activation, rewriter.integers({-1, k})}, {name});
  onnx::ValueInfoProto* output = graph->add_output();
  output->set_name(name);
  set_type({DType::kF32, {Dim(), Dim(k)}}, output->mutable_type());
  return name;
}

}  // namespace

std::map<std::string, ObservedInput> observe_linear_inputs(Model& model) {
  Rewriter rewriter(model);
  std::map<std::string, ObservedInput> by_activation;
  std::map<std::string, ObservedInput> by_weight;
  const int layers = model.proto.graph().node_size();  // observers are appended after them
  for (int i = 0; i < layers; ++i) {
    const onnx::NodeProto node = model.proto.graph().node(i);
    const int64_t k = in_features(rewriter, node);
    if (k == 0 || by_weight.contains(node.input(1))) {
      continue;
    }
    auto found = by_activation.find(node.input(0));
    if (found == by_activation.end()) {
      const ObservedInput made{add_observer(rewriter, node.input(0), k), static_cast<size_t>(k)};
      found = by_activation.emplace(node.input(0), made).first;
    }
    by_weight[node.input(1)] = found->second;
  }
  return by_weight;
}

}  // namespace lorapress
