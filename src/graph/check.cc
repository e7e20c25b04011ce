#include "graph/check.h"

#include <algorithm>
#include <set>

#include "base/fail.h"
#include "graph/bodies.h"
#include "graph/write.h"
#include "onnx/checker.h"
#include "onnx/shape_inference/implementation.h"

namespace lorapress {
namespace {

onnx::ModelProto stand_in(const Model& model) {
  onnx::ModelProto checked = model.proto;
  auto* proto = checked.mutable_graph();
  proto->clear_initializer();
  proto->clear_value_info();
  for (const auto& info : model.proto.graph().value_info()) {
    if (!info.type().has_tensor_type() || info.type().tensor_type().has_shape()) {
      *proto->add_value_info() = info;  // the checker demands the shape that ONNX leaves optional
    }
  }
  std::set<std::string> inputs;
  for (const auto& input : model.proto.graph().input()) {
    inputs.insert(input.name());
  }
  for (const onnx::TensorProto& declared : model.proto.graph().initializer()) {
    if (inputs.contains(declared.name())) {
      continue;  // a default; callers may feed other values
    }
    const auto weight = model.weights.find(declared.name());
    if (weight != model.weights.end() && weight->second->bytes() > kSmallTensor) {
      auto* input = proto->add_input();
      input->set_name(declared.name());
      auto* type = input->mutable_type()->mutable_tensor_type();
      type->set_elem_type(declared.data_type());
      for (const int64_t dim : declared.dims()) {
        type->mutable_shape()->add_dim()->set_dim_value(dim);
      }
      continue;
    }
    onnx::TensorProto* tensor = proto->add_initializer();
    *tensor = declared;
    if (weight != model.weights.end()) {
      std::string* raw = tensor->mutable_raw_data();
      raw->resize(static_cast<size_t>(weight->second->bytes()));
      read_bytes(*weight->second, 0, std::as_writable_bytes(std::span(*raw)));
    }
  }
  return checked;
}

// Types of all values, those of bodies included; names are unique over all graphs.
class ValueTypes {
 public:
  void gather(const onnx::GraphProto& main) {
    const auto each = [&](const onnx::ValueInfoProto& info) { add(info); };
    for_each_graph(main, [&](const onnx::GraphProto& graph) {
      if (&graph != &main) {
        std::ranges::for_each(graph.input(), each);
        std::ranges::for_each(graph.output(), each);
      }
      std::ranges::for_each(graph.value_info(), each);
    });
  }

  google::protobuf::RepeatedPtrField<onnx::ValueInfoProto> take() { return std::move(types_); }

 private:
  void add(const onnx::ValueInfoProto& info) {
    if (info.has_type() && names_.insert(info.name()).second) {
      *types_.Add() = info;
    }
  }

  std::set<std::string> names_;
  google::protobuf::RepeatedPtrField<onnx::ValueInfoProto> types_;
};

}  // namespace

void infer_types(Model& model) {
  onnx::ModelProto proto = stand_in(model);
  try {
    const onnx::ShapeInferenceOptions options{
        /*check_type=*/false, /*strict_mode=*/0, /*data_propagation=*/true};
    onnx::shape_inference::InferShapes(proto, onnx::OpSchemaRegistry::Instance(), options);
  } catch (const std::exception&) {  // types found until then stay
  }
  ValueTypes types;
  types.gather(proto.graph());
  *model.proto.mutable_graph()->mutable_value_info() = types.take();
}

void check_model(const Model& lazy) {
  onnx::ModelProto model = stand_in(lazy);
  try {
    onnx::checker::check_model(model);
    const onnx::ShapeInferenceOptions options{
        /*check_type=*/true, /*strict_mode=*/1, /*data_propagation=*/true};
    onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(), options);
  } catch (const std::exception& error) {
    std::string why = error.what();
    std::ranges::replace(why, '\n', ' ');
    fail(ErrorCode::kRuntime,
         "graph {}: the ONNX checker refuses it: {}",
         model.graph().name(),
         why);
  }
}

}  // namespace lorapress
