#include "graph/model_proto.h"

#include <array>
#include <set>

#include "base/fail.h"

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

void set_body(const Graph& graph, const Body& body, onnx::GraphProto* proto);

void add_nodes(const Graph& graph, const std::vector<GraphNode>& nodes, onnx::GraphProto* proto) {
  for (const GraphNode& node : nodes) {
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
      if (const auto* body = std::get_if<BodyPtr>(&attribute.value)) {
        auto* held = added->add_attribute();
        held->set_name(std::string(attribute.name));
        held->set_type(onnx::AttributeProto::GRAPH);
        set_body(graph, **body, held->mutable_g());
      } else {
        set_attribute(attribute, added->add_attribute());
      }
    }
  }
}

// value_info of everything that is made inside and is no output.
void add_value_info(const Graph& graph,
                    const std::vector<GraphNode>& nodes,
                    const std::vector<int>& outputs,
                    onnx::GraphProto* proto) {
  const std::set<int> declared(outputs.begin(), outputs.end());
  for (const GraphNode& node : nodes) {
    for (const int id : node.outputs) {
      if (id >= 0 && !declared.contains(id)) {
        set_value_info(graph, id, proto->add_value_info());
      }
    }
  }
}

void set_body(const Graph& graph, const Body& body, onnx::GraphProto* proto) {
  proto->set_name(body.name);
  add_nodes(graph, body.nodes, proto);
  for (const int id : body.inputs) {
    set_value_info(graph, id, proto->add_input());
  }
  for (const int id : body.outputs) {
    set_value_info(graph, id, proto->add_output());
  }
  add_value_info(graph, body.nodes, body.outputs, proto);
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
  } else if (const auto* integers = std::get_if<std::vector<int64_t>>(&attribute.value)) {
    proto->set_type(onnx::AttributeProto::INTS);
    for (const int64_t value : *integers) {
      proto->add_ints(value);
    }
  } else {
    fail(ErrorCode::kInvalidArgument, "attribute {}: a body needs its graph", attribute.name);
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
  add_nodes(graph, graph.nodes(), proto);
  for (const int id : graph.inputs()) {
    set_value_info(graph, id, proto->add_input());
  }
  for (const int id : graph.outputs()) {
    set_value_info(graph, id, proto->add_output());
  }
  add_value_info(graph, graph.nodes(), graph.outputs(), proto);
  return model;
}

}  // namespace lorapress
