#include "graph/read_scopes.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "base/fail.h"
#include "graph/write.h"

namespace lorapress {
namespace {

using Nodes = google::protobuf::RepeatedPtrField<onnx::NodeProto>;

// The names of one graph, and their unique names in the model.
struct Scope {
  const Scope* outer = nullptr;
  const Nodes* nodes = nullptr;  // as they were read, from the one that is being resolved on
  std::unordered_map<std::string, std::string> names;
  std::unordered_set<std::string> own;  // values that the graph itself may give out, by new name
  [[nodiscard]] bool main() const { return outer == nullptr; }
};

std::string describe(const onnx::NodeProto& node) {
  return node.name().empty()
             ? "a node " + shown(node.op_type())
             : fmt::format("node {} ({})", shown(node.name()), shown(node.op_type()));
}

bool produces(const Nodes& nodes, const std::string& name) {
  return std::ranges::any_of(nodes, [&](const onnx::NodeProto& node) {
    return std::ranges::find(node.output(), name) != node.output().end();
  });
}

// The value of a Constant node, where it is a numeric tensor or floats.
std::optional<onnx::TensorProto> constant_of(onnx::NodeProto& node) {
  if (node.op_type() != "Constant" || (!node.domain().empty() && node.domain() != "ai.onnx") ||
      node.attribute_size() != 1 || node.output_size() != 1) {
    return std::nullopt;
  }
  onnx::AttributeProto& attribute = *node.mutable_attribute(0);
  if (attribute.name() == "value" && attribute.has_t()) {
    return std::move(*attribute.mutable_t());
  }
  onnx::TensorProto tensor;
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  if (attribute.name() == "value_float") {
    tensor.add_float_data(attribute.f());
    return tensor;
  }
  if (attribute.name() == "value_floats") {
    tensor.add_dims(attribute.floats_size());
    *tensor.mutable_float_data() = attribute.floats();
    return tensor;
  }
  return std::nullopt;
}

class Resolver {
 public:
  Resolver(Model& model, TensorReader& tensors, bool defaults)
      : model_(model), tensors_(tensors), defaults_(defaults) {}

  void run() {
    onnx::GraphProto& main = *model_.proto.mutable_graph();
    for (const auto& input : main.input()) {
      taken_.insert(input.name());
    }
    for (const auto& tensor : main.initializer()) {
      taken_.insert(tensor.name());
    }
    for (const auto& node : main.node()) {
      taken_.insert(node.output().begin(), node.output().end());
    }
    Scope scope;
    resolve(main, scope);
    for (onnx::TensorProto& tensor : hoisted_) {
      *main.add_initializer() = std::move(tensor);
    }
    for (onnx::ValueInfoProto& info : types_) {
      *main.add_value_info() = std::move(info);
    }
  }

 private:
  template <typename... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::kInvalidFile,
         "{}: {}",
         tensors_.path().string(),
         fmt::format(format, std::forward<Args>(args)...));
  }

  void resolve(onnx::GraphProto& graph, Scope& scope) {
    if (graph.sparse_initializer_size() != 0) {
      fail(ErrorCode::kUnsupported,
           "{}: graph {} has sparse initializers; make them dense first",
           tensors_.path().string(),
           shown(graph.name()));
    }
    Nodes nodes;
    nodes.Swap(graph.mutable_node());
    scope.nodes = &nodes;
    take_ports(graph, scope);
    std::unordered_set<std::string> outputs;
    for (const auto& output : graph.output()) {
      outputs.insert(output.name());
    }
    for (int i = 0; i < nodes.size(); ++i) {
      resolve_node(nodes[i], graph, scope, outputs);
    }
    give_out(graph, scope);
    keep_types(graph, scope);
  }

  // Inputs and initializers.
  void take_ports(onnx::GraphProto& graph, Scope& scope) {
    std::unordered_set<std::string> inputs;
    for (const auto& input : graph.input()) {
      if (!inputs.insert(input.name()).second) {
        refuse("graph {} has two inputs {}", shown(graph.name()), shown(input.name()));
      }
    }
    google::protobuf::RepeatedPtrField<onnx::TensorProto> initializers;
    initializers.Swap(graph.mutable_initializer());
    std::unordered_set<std::string> constants;
    for (onnx::TensorProto& tensor : initializers) {
      if (!scope.main() && inputs.contains(tensor.name())) {
        continue;  // a default that Loop and Scan always override
      }
      constants.insert(tensor.name());
      const std::string name = define(tensor.name(), scope, nullptr, "an initializer");
      add_weight(std::move(tensor), name, scope.main() ? graph.mutable_initializer() : nullptr);
      if (scope.main()) {
        scope.own.insert(name);
      }
    }
    google::protobuf::RepeatedPtrField<onnx::ValueInfoProto> ports;
    ports.Swap(graph.mutable_input());
    for (onnx::ValueInfoProto& input : ports) {
      if (!constants.contains(input.name())) {
        input.set_name(define(input.name(), scope, nullptr, "an input"));
        scope.own.insert(input.name());
        *graph.add_input() = std::move(input);
      } else if (defaults_ && scope.main()) {
        require_type_of_default(input, graph);
        *graph.add_input() = std::move(input);
      }
    }
  }

  void require_type_of_default(const onnx::ValueInfoProto& input,
                               const onnx::GraphProto& graph) const {
    const auto& initializers = graph.initializer();
    const auto tensor = std::ranges::find(initializers, input.name(), &onnx::TensorProto::name);
    const int wanted = input.type().tensor_type().elem_type();
    if (wanted != 0 && wanted != tensor->data_type()) {
      refuse("input {} is of onnx type {}, but its initializer of type {}",
             shown(input.name()),
             wanted,
             tensor->data_type());
    }
  }

  void resolve_node(onnx::NodeProto& node,
                    onnx::GraphProto& graph,
                    Scope& scope,
                    const std::unordered_set<std::string>& outputs) {
    for (std::string& input : *node.mutable_input()) {
      if (!input.empty()) {
        input = find(input, scope, &node);
      }
    }
    if (auto tensor = constant_of(node)) {
      if (lift(node, std::move(*tensor), graph, scope, outputs)) {
        return;
      }
    }
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      resolve_attribute(attribute, scope);
    }
    for (std::string& output : *node.mutable_output()) {
      if (!output.empty()) {
        output = define(output, scope, &node);
        scope.own.insert(output);
      }
    }
    *graph.add_node() = std::move(node);
  }

  void resolve_attribute(onnx::AttributeProto& attribute, const Scope& scope) {
    if (attribute.has_t()) {
      tensors_.restore(*attribute.mutable_t());
    }
    for (onnx::TensorProto& tensor : *attribute.mutable_tensors()) {
      tensors_.restore(tensor);
    }
    if (attribute.has_g()) {
      Scope inner{&scope, nullptr, {}, {}};
      resolve(*attribute.mutable_g(), inner);
    }
    for (onnx::GraphProto& body : *attribute.mutable_graphs()) {
      Scope inner{&scope, nullptr, {}, {}};
      resolve(body, inner);
    }
  }

  // A Constant becomes a weight. False where it stays a node; the tensor is then put back into the
  // node.
  bool lift(onnx::NodeProto& node,
            onnx::TensorProto tensor,
            onnx::GraphProto& graph,
            Scope& scope,
            const std::unordered_set<std::string>& outputs) {
    const auto dtype = dtype_from_onnx(tensor.data_type());
    const bool large = tensor.has_doc_string() || tensor.ByteSizeLong() > kSmallTensor ||
                       tensor.data_location() == onnx::TensorProto::EXTERNAL;
    if (!dtype || (!dtype_row(*dtype).is_float && !large)) {
      if (node.attribute(0).has_t()) {
        *node.mutable_attribute(0)->mutable_t() = std::move(tensor);
      }
      return false;
    }
    const std::string& output = node.output(0);
    tensor.set_name(output);
    if (!outputs.contains(output)) {
      const std::string name = define(output, scope, &node);
      if (scope.main()) {
        scope.own.insert(name);
      }
      add_weight(std::move(tensor), name, nullptr);
      return true;
    }
    const std::string name = unique(output + "_value");
    add_weight(std::move(tensor), name, nullptr);
    node.clear_attribute();
    node.set_op_type("Identity");
    node.add_input(name);
    node.set_output(0, define(output, scope, &node));
    scope.own.insert(node.output(0));
    *graph.add_node() = std::move(node);
    return true;
  }

  void give_out(onnx::GraphProto& graph, Scope& scope) {
    for (onnx::ValueInfoProto& output : *graph.mutable_output()) {
      std::string name = find(output.name(), scope, nullptr);
      if (!scope.own.contains(name)) {
        onnx::NodeProto* node = graph.add_node();
        node->set_op_type("Identity");
        node->add_input(name);
        name = unique(name + "_out");
        node->add_output(name);
        node->set_name(name);
      }
      output.set_name(name);
    }
  }

  // value_info of bodies moves to the main graph, under the new names.
  void keep_types(onnx::GraphProto& graph, const Scope& scope) {
    for (onnx::ValueInfoProto& info : *graph.mutable_value_info()) {
      const auto found = scope.names.find(info.name());
      if (found != scope.names.end()) {
        info.set_name(found->second);
        types_.push_back(std::move(info));
      }
    }
    graph.clear_value_info();
  }

  // `kind` describes the producer of a name that no node produces.
  std::string define(const std::string& name,
                     Scope& scope,
                     const onnx::NodeProto* node,
                     std::string_view kind = "") {
    if (name.empty()) {
      refuse("{} has no name", kind);
    }
    std::string unique_name = scope.main() ? name : unique(name);
    if (!scope.names.emplace(name, unique_name).second) {
      refuse("{} gives {} again, expected each name once in a graph",
             node == nullptr ? std::string(kind) : describe(*node),
             shown(name));
    }
    return unique_name;
  }

  const std::string& find(const std::string& name,
                          const Scope& scope,
                          const onnx::NodeProto* node) const {
    for (const Scope* at = &scope; at != nullptr; at = at->outer) {
      const auto found = at->names.find(name);
      if (found != at->names.end()) {
        return found->second;
      }
    }
    const std::string reader = node == nullptr ? "an output" : describe(*node);
    for (const Scope* at = &scope; at != nullptr; at = at->outer) {
      if (produces(*at->nodes, name)) {
        refuse("{} reads {}, which comes later: the nodes are not in order, or form a cycle",
               reader,
               shown(name));
      }
    }
    refuse("{} reads {}, which nothing produces", reader, shown(name));
  }

  std::string unique(const std::string& base) {
    if (taken_.insert(base).second) {
      return base;
    }
    int& next = next_[base];
    std::string name;
    do {
      name = base + "_" + std::to_string(++next);
    } while (!taken_.insert(name).second);
    return name;
  }

  void add_weight(onnx::TensorProto tensor,
                  const std::string& name,
                  google::protobuf::RepeatedPtrField<onnx::TensorProto>* declared) {
    WeightPtr weight = tensors_.weight(tensor);
    onnx::TensorProto made;
    if (weight) {
      made = declare(name, *weight);
      model_.weights.emplace(name, std::move(weight));
    } else {
      made = std::move(tensor);
      made.set_name(name);
    }
    if (declared != nullptr) {
      *declared->Add() = std::move(made);
    } else {
      hoisted_.push_back(std::move(made));
    }
  }

  Model& model_;
  TensorReader& tensors_;
  bool defaults_;
  std::unordered_set<std::string> taken_;
  std::unordered_map<std::string, int> next_;
  std::vector<onnx::TensorProto> hoisted_;
  std::vector<onnx::ValueInfoProto> types_;
};

}  // namespace

void resolve_scopes(Model& model, TensorReader& tensors, bool defaults) {
  Resolver(model, tensors, defaults).run();
}

}  // namespace lorapress
