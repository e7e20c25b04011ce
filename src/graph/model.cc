#include "graph/model.h"

#include "graph/model_proto.h"

namespace lorapress {

onnx::TensorProto declare(const std::string& name, const Weight& weight) {
  onnx::TensorProto proto;
  proto.set_name(name);
  proto.set_data_type(dtype_row(weight.dtype()).onnx);
  for (const int64_t dim : weight.shape()) {
    proto.add_dims(dim);
  }
  return proto;
}

Model to_model(const Graph& graph) {
  Model model{model_proto(graph), {}};
  auto* proto = model.proto.mutable_graph();
  for (const Graph::Initializer& initializer : graph.initializers()) {
    const std::string& name = graph.value_name(initializer.value);
    *proto->add_initializer() = declare(name, *initializer.weight);
    model.weights.emplace(name, initializer.weight);
  }
  return model;
}

int64_t opset_of(const onnx::ModelProto& proto, std::string_view domain) {
  for (const auto& opset : proto.opset_import()) {
    const std::string_view name = opset.domain();
    if ((name == "ai.onnx" ? std::string_view() : name) == domain) {
      return opset.version();
    }
  }
  return 0;
}

std::optional<DeclaredType> declared_type(const onnx::TypeProto& type) {
  const auto dtype = type.has_tensor_type() ? dtype_from_onnx(type.tensor_type().elem_type())
                                            : std::optional<DType>();
  if (!dtype) {
    return std::nullopt;
  }
  DeclaredType declared{{*dtype, {}}, type.tensor_type().has_shape()};
  for (const auto& dim : type.tensor_type().shape().dim()) {
    declared.type.dims.push_back(dim.has_dim_value()       ? Dim(dim.dim_value())
                                 : dim.dim_param().empty() ? Dim()
                                                           : Dim(dim.dim_param()));
  }
  return declared;
}

}  // namespace lorapress
