#include "graph/model_proto.h"

#include <array>

namespace lorapress {
namespace {

// First IR version that may carry an opset,
// https://github.com/onnx/onnx/blob/main/docs/Versioning.md
constexpr std::array kIrOfOpset = {std::pair{17, 8},
                                   std::pair{18, 8},
                                   std::pair{19, 9},
                                   std::pair{20, 9},
                                   std::pair{21, 10},
                                   std::pair{22, 10},
                                   std::pair{23, 11}};

int ir_version(int opset) {
  for (const auto& [known, version] : kIrOfOpset) {
    if (known == opset) {
      return version;
    }
  }
  return kIrOfOpset.back().second;
}

void set_value_info(const Graph& graph, int id, onnx::ValueInfoProto* proto) {
  proto->set_name(graph.value_name(id));
  set_type(graph.value_type(id), proto->mutable_type());
}

}  // namespace

void set_attribute(const Attribute& attribute, onnx::AttributeProto* proto) {
  proto->set_name(std::string(attribute.name));
  if (const auto* integer = std::get_if<int64_t>(&attribute.value)) {
    proto->set_type(onnx::AttributeProto::INT);
    proto->set_i(*integer);
  } else if (const auto* real = std::get_if<float>(&attribute.value)) {
    proto->set_type(onnx::AttributeProto::FLOAT);
    proto->set_f(*real);
  } else if (const auto* text = std::get_if<std::string>(&attribute.value)) {
    proto->set_type(onnx::AttributeProto::STRING);
    proto->set_s(*text);
  } else {
    proto->set_type(onnx::AttributeProto::INTS);
    for (const int64_t value : std::get<std::vector<int64_t>>(attribute.value)) {
      proto->add_ints(value);
    }
  }
}

void set_type(const TensorType& type, onnx::TypeProto* proto) {
  auto* tensor = proto->mutable_tensor_type();
  tensor->set_elem_type(dtype_row(type.dtype).onnx);
  auto* shape = tensor->mutable_shape();
  for (const Dim& dim : type.dims) {
    auto* added = shape->add_dim();
    if (dim.known()) {
      added->set_dim_value(dim.value);
    } else if (!dim.symbol.empty()) {
      added->set_dim_param(dim.symbol);
    }
  }
}

onnx::ModelProto model_proto(const Graph& graph) {
  onnx::ModelProto model;
  model.set_ir_version(ir_version(graph.opset()));
  model.set_producer_name("lorapress");
  model.set_producer_version(LORAPRESS_VERSION);
  auto* opset = model.add_opset_import();
  opset->set_domain("");
  opset->set_version(graph.opset());
  if (graph.uses_microsoft_domain()) {
    auto* microsoft = model.add_opset_import();
    microsoft->set_domain(std::string(kMicrosoftDomain));
    microsoft->set_version(1);
  }
  auto* proto = model.mutable_graph();
  proto->set_name(graph.name());
  for (const Graph::Node& node : graph.nodes()) {
    auto* added = proto->add_node();
    added->set_name(node.name);
    added->set_op_type(std::string(node.op->name));
    added->set_domain(std::string(node.op->domain));
    for (const int id : node.inputs) {
      added->add_input(id < 0 ? "" : graph.value_name(id));
    }
    for (const int id : node.outputs) {
      added->add_output(id < 0 ? "" : graph.value_name(id));
    }
    for (const Attribute& attribute : node.attributes) {
      set_attribute(attribute, added->add_attribute());
    }
  }
  for (const int id : graph.inputs()) {
    set_value_info(graph, id, proto->add_input());
  }
  for (const int id : graph.outputs()) {
    set_value_info(graph, id, proto->add_output());
  }
  return model;
}

}  // namespace lorapress
