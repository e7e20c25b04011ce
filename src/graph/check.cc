#include "graph/check.h"

#include "base/fail.h"
#include "graph/model_proto.h"
#include "onnx/checker.h"
#include "onnx/shape_inference/implementation.h"

namespace lorapress {
namespace {

onnx::ModelProto stand_in(const Graph& graph) {
  onnx::ModelProto model = model_proto(graph);
  auto* proto = model.mutable_graph();
  for (const Graph::Initializer& initializer : graph.initializers()) {
    if (initializer.weight->bytes() > kSmallTensor) {
      auto* input = proto->add_input();
      input->set_name(graph.value_name(initializer.value));
      set_type(graph.value_type(initializer.value), input->mutable_type());
      continue;
    }
    onnx::TensorProto* tensor = proto->add_initializer();
    *tensor = tensor_proto(graph, initializer);
    std::string* raw = tensor->mutable_raw_data();
    raw->resize(static_cast<size_t>(initializer.weight->bytes()));
    read_bytes(*initializer.weight, 0, std::as_writable_bytes(std::span(*raw)));
  }
  return model;
}

}  // namespace

void check_graph(const Graph& graph) {
  onnx::ModelProto model = stand_in(graph);
  try {
    onnx::checker::check_model(model);
    const onnx::ShapeInferenceOptions options{
        /*check_type=*/true, /*strict_mode=*/1, /*data_propagation=*/true};
    onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(), options);
  } catch (const std::exception& error) {
    std::string why = error.what();
    std::ranges::replace(why, '\n', ' ');
    fail(ErrorCode::kRuntime, "graph {}: the ONNX checker refuses it: {}", graph.name(), why);
  }
}

}  // namespace lorapress
