#include <algorithm>
#include <map>

#include "engine/program.h"

namespace lorapress::engine {
namespace {

constexpr int64_t kFirstOpset =
    13;  // before it, Softmax, Squeeze and others were defined otherwise
constexpr int64_t kLastOpset = 23;

std::string node_text(const NodeDef& node) {
  return "node " + (node.name.empty() && !node.outputs.empty() ? node.outputs[0] : node.name) +
         " (" + (node.domain.empty() ? "" : node.domain + "::") + node.op + ")";
}

[[noreturn]] void refuse_node(Problem problem, const NodeDef& node, const std::string& what) {
  refuse(problem, node_text(node) + ": " + what);
}

class Compiler {
 public:
  explicit Compiler(ModelDef model) : model_(std::move(model)) {}

  Program compile() {
    check_opsets();
    scopes_.emplace_back();
    GraphDef& graph = model_.graph;
    for (const PortDef& port : graph.inputs) {
      program_.inputs.push_back(add_input(port));
    }
    program_.steps = add_graph(graph);
    for (size_t i = 0; i < graph.outputs.size(); ++i) {
      const Slot slot = program_.steps.outputs[i];
      program_.outputs.push_back({graph.outputs[i].name,
                                  program_.values[static_cast<size_t>(slot)].type,
                                  graph.outputs[i].dims,
                                  slot});
    }
    return std::move(program_);
  }

 private:
  using Scope = std::map<std::string, Slot>;

  void check_opsets() const {
    for (const auto& [domain, version] : model_.opsets) {
      if (domain.empty() && (version < kFirstOpset || version > kLastOpset)) {
        refuse(Problem::kUnsupported,
               "opset " + std::to_string(version) + "; 13 to 23 are supported");
      }
    }
  }

  Slot add_value(const std::string& name, Type type) {
    if (!name.empty() && !scopes_.back().emplace(name, next_slot()).second) {
      refuse(Problem::kInvalid, "two values of the name " + name);
    }
    Value value;
    value.name = name;
    value.type = type;
    value.level = static_cast<int>(scopes_.size()) - 1;
    program_.values.push_back(std::move(value));
    return next_slot() - 1;
  }

  [[nodiscard]] Slot next_slot() const { return static_cast<Slot>(program_.values.size()); }

  [[nodiscard]] Slot find(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const auto found = scope->find(name); found != scope->end()) {
        return found->second;
      }
    }
    return kNoSlot;
  }

  Port add_input(const PortDef& port) {
    const auto type = computed_type(port.type);
    if (!type) {
      refuse(Problem::kUnsupported,
             "input " + port.name + ": type " + std::to_string(port.type) + " of onnx.proto");
    }
    return {port.name, *type, port.dims, add_value(port.name, *type)};
  }

  Steps add_graph(GraphDef& graph) {
    for (TensorDef& tensor : graph.initializers) {
      if (scopes_.size() == 1 && find(tensor.name) != kNoSlot) {
        refuse(Problem::kUnsupported,
               "input " + tensor.name + " has a default, or a name is used twice");
      }
      const Slot slot = add_value(tensor.name, *computed_type(tensor.type));
      program_.values[static_cast<size_t>(slot)].stored = std::move(tensor);
    }
    Steps steps;
    for (const PortDef& port : graph.inputs) {
      if (scopes_.size() > 1) {  // those of the main graph have slots
        steps.inputs.push_back(add_input(port).slot);
      }
    }
    for (NodeDef& node : graph.nodes) {
      steps.nodes.push_back(add_node(node));
    }
    for (const PortDef& port : graph.outputs) {
      const Slot slot = find(port.name);
      if (slot == kNoSlot) {
        refuse(Problem::kInvalid, "output " + port.name + " is made by no node");
      }
      steps.outputs.push_back(slot);
    }
    return steps;
  }

  Node add_node(NodeDef& def) {
    const OpRow* row = find_op(def.domain, def.op);
    if (row == nullptr) {
      refuse_node(Problem::kUnsupported, def, "the operator is not supported");
    }
    Node node;
    node.row = row;
    node.name = def.name.empty() && !def.outputs.empty() ? def.outputs[0] : def.name;
    add_inputs(def, node);
    add_attributes(def, node);
    if (def.outputs.empty() || std::ssize(def.outputs) > row->most_outputs) {
      refuse_node(Problem::kInvalid, def, std::to_string(def.outputs.size()) + " outputs");
    }
    check_bodies(def, node);
    const std::vector<Type> types = output_types(def, node);
    for (size_t i = 0; i < def.outputs.size(); ++i) {
      node.outputs.push_back(def.outputs[i].empty() ? kNoSlot
                                                    : add_value(def.outputs[i], types[i]));
    }
    return node;
  }

  void add_inputs(const NodeDef& def, Node& node) {
    const OpRow& row = *node.row;
    const auto count = std::ssize(def.inputs);
    if (count > row.most_inputs) {
      refuse_node(Problem::kUnsupported,
                  def,
                  std::to_string(count) + " inputs; at most " + std::to_string(row.most_inputs) +
                      " are supported");
    }
    for (const std::string& name : def.inputs) {
      const Slot slot = name.empty() ? kNoSlot : find(name);
      if (!name.empty() && slot == kNoSlot) {
        refuse_node(Problem::kInvalid, def, "reads " + name + ", which no node before it makes");
      }
      node.inputs.push_back(slot);
    }
    // The first inputs are required; GroupQueryAttention alone may leave out key and value.
    for (int i = 0; i < row.least_inputs; ++i) {
      const bool optional = row.least_inputs == 7 && (i == 1 || i == 2);
      if (!optional && (i >= count || node.inputs[static_cast<size_t>(i)] == kNoSlot)) {
        refuse_node(Problem::kInvalid, def, "input " + std::to_string(i) + " is missing");
      }
    }
    check_types(def, node);
  }

  [[nodiscard]] Type type_of(Slot slot) const {
    return program_.values[static_cast<size_t>(slot)].type;
  }

  void check_types(const NodeDef& def, const Node& node) const {
    const std::vector<Types>& masks = node.row->inputs;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == kNoSlot) {
        continue;
      }
      const Type type = type_of(node.inputs[i]);
      const bool listed = (masks[std::min(i, masks.size() - 1)] & one_of(type)) != 0;
      if (!listed || (masks.size() == 1 && type != type_of(node.inputs[0]))) {
        refuse_node(
            Problem::kUnsupported,
            def,
            "input " + std::to_string(i) + " of type " + type_name(type) + " is not supported");
      }
    }
  }

  void add_attributes(NodeDef& def, Node& node) {
    for (const AttributeRow& row : node.row->attributes) {
      AttributeValue value;
      value.integer = row.integer;
      value.number = row.number;
      node.attributes.push_back(value);
    }
    std::vector<GraphDef*> bodies(node.row->attributes.size());
    for (AttributeDef& attribute : def.attributes) {
      size_t at = 0;
      while (at < node.attributes.size() && node.row->attributes[at].name != attribute.name) {
        ++at;
      }
      if (at == node.attributes.size()) {
        refuse_node(
            Problem::kUnsupported, def, "attribute " + attribute.name + " is not supported");
      }
      static constexpr int64_t kKinds[] = {2, 1, 7, 3, 5};  // of AttributeKind in onnx.proto
      const AttributeKind kind = node.row->attributes[at].kind;
      if (attribute.kind != kKinds[static_cast<size_t>(kind)] ||
          (kind == AttributeKind::kGraph && attribute.graph == nullptr)) {
        refuse_node(Problem::kInvalid, def, "attribute " + attribute.name + " is of another kind");
      }
      AttributeValue& value = node.attributes[at];
      value.given = true;
      value.integer = attribute.integer;
      value.number = attribute.number;
      value.integers = std::move(attribute.integers);
      bodies[at] = attribute.graph.get();
    }
    for (size_t i = 0; i < bodies.size(); ++i) {
      if (node.row->attributes[i].kind == AttributeKind::kGraph) {
        if (bodies[i] == nullptr) {
          refuse_node(Problem::kInvalid, def, "a body is missing");
        }
        scopes_.emplace_back();
        node.bodies.push_back(add_graph(*bodies[i]));
        scopes_.pop_back();
      }
    }
    if (node.row->outputs == OutputTypes::kCast) {
      const auto type = computed_type(static_cast<int32_t>(node.attributes[0].integer));
      if (!type) {
        refuse_node(Problem::kUnsupported,
                    def,
                    "to type " + std::to_string(node.attributes[0].integer) + " of onnx.proto");
      }
      node.attributes[0].integer = static_cast<int64_t>(*type);
    }
  }

  std::vector<Type> output_types(const NodeDef& def, const Node& node) const {
    const size_t count = def.outputs.size();
    switch (node.row->outputs) {
      case OutputTypes::kFirst:
        return std::vector<Type>(count, type_of(node.inputs[0]));
      case OutputTypes::kSecond:
        return std::vector<Type>(count, type_of(node.inputs[1]));
      case OutputTypes::kBool:
        return std::vector<Type>(count, Type::kBool);
      case OutputTypes::kInt64:
        return std::vector<Type>(count, Type::kI64);
      case OutputTypes::kInt32:
        return std::vector<Type>(count, Type::kI32);
      case OutputTypes::kCast:
        return std::vector<Type>(count, static_cast<Type>(node.attributes[0].integer));
      case OutputTypes::kQuantized:
        return {Type::kU8, Type::kF32, Type::kU8};
      case OutputTypes::kTopK:
        return {type_of(node.inputs[0]), Type::kI64};
      case OutputTypes::kCarried:
        return carried_types(def, node);
      case OutputTypes::kBranches:
        break;
    }
    std::vector<Type> types;
    for (const Steps& body : node.bodies) {
      if (body.outputs.size() != count) {
        refuse_node(Problem::kInvalid, def, "a body with another number of outputs");
      }
      for (size_t i = 0; i < count; ++i) {
        const Type type = type_of(body.outputs[i]);
        if (types.size() == count && types[i] != type) {
          refuse_node(Problem::kInvalid, def, "bodies whose outputs have two types");
        }
        if (types.size() < count) {
          types.push_back(type);
        }
      }
    }
    return types;
  }

  void check_bodies(const NodeDef& def, const Node& node) const {
    const bool loops = node.row->outputs == OutputTypes::kCarried;
    for (const Steps& body : node.bodies) {
      if (body.inputs.size() != (loops ? node.inputs.size() : 0)) {
        refuse_node(Problem::kInvalid, def, "a body with another number of inputs");
      }
    }
  }

  // Loop: the body takes iteration, condition and what is carried, and gives condition and what is carried.
  // What it carries keeps its type; outputs of all iterations (scan outputs) are not known.
  std::vector<Type> carried_types(const NodeDef& def, const Node& node) const {
    const Steps& body = node.bodies[0];
    const size_t carried = node.inputs.size() - 2;
    if (body.outputs.size() != carried + 1 || def.outputs.size() != carried) {
      refuse_node(Problem::kUnsupported, def, "outputs of other than what the loop carries");
    }
    std::vector<Type> types;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const Type type = type_of(body.inputs[i]);
      if (node.inputs[i] == kNoSlot || type_of(node.inputs[i]) != type ||
          (i > 0 && type_of(body.outputs[i - 1]) != type)) {
        refuse_node(Problem::kInvalid, def, "a body whose inputs or outputs have other types");
      }
      if (i >= 2) {
        types.push_back(type);
      }
    }
    return types;
  }

  ModelDef model_;
  Program program_;
  std::vector<Scope> scopes_;
};

}  // namespace

Program compile(ModelDef model) {
  return Compiler(std::move(model)).compile();
}

}  // namespace lorapress::engine
