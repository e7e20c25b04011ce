#include "rewrite/rewrite.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "graph/bodies.h"
#include "graph/model_proto.h"

namespace lorapress {
namespace {

constexpr int64_t kAxesAreInputs = 13;    // of Unsqueeze and Split
constexpr int64_t kBoundsAreInputs = 10;  // of Slice

const onnx::AttributeProto* find_attribute(const onnx::NodeProto& node, std::string_view name) {
  for (const auto& attribute : node.attribute()) {
    if (attribute.name() == name) {
      return &attribute;
    }
  }
  return nullptr;
}

}  // namespace

void declare_value(Model& model, const std::string& name, const TensorType& type) {
  auto* info = model.proto.mutable_graph()->add_value_info();
  info->set_name(name);
  set_type(type, info->mutable_type());
}

bool has_operator(const Model& model, std::string_view op_type) {
  bool found = false;
  for_each_graph(model.proto.graph(), [&](const onnx::GraphProto& graph) {
    found = found || std::ranges::any_of(
                         graph.node(), [&](const auto& node) { return node.op_type() == op_type; });
  });
  return found;
}

onnx::NodeProto make_node(std::string_view op_type,
                          const std::string& name,
                          const std::vector<std::string>& inputs,
                          const std::vector<std::string>& outputs,
                          const Attributes& attributes,
                          std::string_view domain) {
  onnx::NodeProto node;
  node.set_op_type(std::string(op_type));
  node.set_name(name);
  node.set_domain(std::string(domain));
  for (const std::string& input : inputs) {
    node.add_input(input);
  }
  for (const std::string& output : outputs) {
    node.add_output(output);
  }
  for (const Attribute& attribute : attributes) {
    set_attribute(attribute, node.add_attribute());
  }
  return node;
}

int64_t integer_attribute(const onnx::NodeProto& node, std::string_view name, int64_t fallback) {
  const auto* found = find_attribute(node, name);
  return found != nullptr && found->has_i() ? found->i() : fallback;
}

float float_attribute(const onnx::NodeProto& node, std::string_view name, float fallback) {
  const auto* found = find_attribute(node, name);
  return found != nullptr && found->has_f() ? found->f() : fallback;
}

bool excluded(const SchemeOptions& options, const std::string& name) {
  return std::ranges::find(options.exclude, name) != options.exclude.end();
}

Rewriter::Rewriter(Model& model) : model_(model) {
  refresh();
}

void Rewriter::refresh() {
  names_.clear();
  uses_.clear();
  outputs_.clear();
  inputs_.clear();
  types_.clear();
  for (const auto& input : model_.proto.graph().input()) {
    inputs_.insert(input.name());
  }
  const auto declare_type = [&](const onnx::ValueInfoProto& info) {
    names_.insert(info.name());
    if (auto declared = declared_type(info.type())) {
      types_.insert_or_assign(info.name(), std::move(*declared));
    }
  };
  for_each_graph(model_.proto.graph(), [&](const onnx::GraphProto& graph) {
    for (const auto& info : graph.value_info()) {
      declare_type(info);
    }
    for (const auto& info : graph.input()) {
      declare_type(info);
    }
    for (const auto& info : graph.output()) {
      declare_type(info);
      outputs_.insert(info.name());
      ++uses_[info.name()];
    }
    for (const auto& tensor : graph.initializer()) {
      names_.insert(tensor.name());
    }
    for (const auto& node : graph.node()) {
      names_.insert(node.name());
      names_.insert(node.output().begin(), node.output().end());
      for (const std::string& input : node.input()) {
        ++uses_[input];
      }
    }
  });
  for (const auto& [name, weight] : model_.weights) {
    const Dims dims(weight->shape().begin(), weight->shape().end());
    types_.insert_or_assign(name, DeclaredType{{weight->dtype(), dims}, true});
  }
}

void Rewriter::rewrite_graph(onnx::GraphProto& graph, const Visit& visit) {
  const int scope = ++scopes_;
  google::protobuf::RepeatedPtrField<onnx::NodeProto> nodes;
  nodes.Swap(graph.mutable_node());
  for (onnx::NodeProto& node : nodes) {
    for_each_body(node, [&](onnx::GraphProto& body) { rewrite_graph(body, visit); });
    scope_ = scope;
    NodeList replacement;
    if (!visit(node, replacement)) {
      *graph.add_node() = std::move(node);
      continue;
    }
    for (onnx::NodeProto& made : replacement) {
      *graph.add_node() = std::move(made);
    }
  }
}

void Rewriter::rewrite(const Visit& visit) {
  rewrite_graph(*model_.proto.mutable_graph(), visit);
}

void Rewriter::for_each_node(const std::function<void(const onnx::NodeProto&)>& visit) const {
  for_each_graph(model_.proto.graph(), [&](const onnx::GraphProto& graph) {
    for (const auto& node : graph.node()) {
      visit(node);
    }
  });
}

WeightPtr Rewriter::weight(const std::string& name) const {
  return inputs_.contains(name) ? nullptr : any_weight(name);
}

WeightPtr Rewriter::any_weight(const std::string& name) const {
  const auto found = model_.weights.find(name);
  return found == model_.weights.end() ? nullptr : found->second;
}

bool Rewriter::has_default(const std::string& name) const {
  return inputs_.contains(name) && model_.weights.contains(name);
}

std::optional<DeclaredType> Rewriter::type(const std::string& name) const {
  const auto found = types_.find(name);
  return found == types_.end() ? std::nullopt : std::optional(found->second);
}

void Rewriter::set_type(const std::string& name, const TensorType& type) {
  types_.insert_or_assign(name, DeclaredType{type, true});
}

size_t Rewriter::uses(const std::string& name) const {
  const auto found = uses_.find(name);
  return found == uses_.end() ? 0 : found->second;
}

bool Rewriter::is_graph_output(const std::string& name) const {
  return outputs_.contains(name);
}

std::string Rewriter::unique(const std::string& base) {
  std::string name = base;
  for (int i = 1; !names_.insert(name).second; ++i) {
    name = base + "_" + std::to_string(i);
  }
  return name;
}

std::string Rewriter::add_weight(const std::string& base, WeightPtr weight) {
  const std::string name = unique(base);
  *model_.proto.mutable_graph()->add_initializer() = declare(name, *weight);
  set_type(name, {weight->dtype(), Dims(weight->shape().begin(), weight->shape().end())});
  model_.weights.emplace(name, std::move(weight));
  return name;
}

void Rewriter::replace_weight(const std::string& name, WeightPtr weight) {
  auto& declared = *model_.proto.mutable_graph()->mutable_initializer();
  *std::ranges::find(declared, name, &onnx::TensorProto::name) = declare(name, *weight);
  set_type(name, {weight->dtype(), Dims(weight->shape().begin(), weight->shape().end())});
  model_.weights[name] = std::move(weight);
}

std::string Rewriter::constant(const std::string& name,
                               DType dtype,
                               Shape shape,
                               std::vector<std::byte> bytes) {
  const auto found = constants_.find(name);
  if (found != constants_.end()) {
    return found->second;
  }
  return constants_[name] =
             add_weight(name, constant_weight(dtype, std::move(shape), std::move(bytes)));
}

std::string Rewriter::scalar(float value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  return constant(
      fmt::format("/passes/float32/{}", value), DType::kF32, {}, {bytes.begin(), bytes.end()});
}

std::string Rewriter::integer(int64_t value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  return constant(
      fmt::format("/passes/int64/{}", value), DType::kI64, {}, {bytes.begin(), bytes.end()});
}

std::string Rewriter::integers(const std::vector<int64_t>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return constant(fmt::format("/passes/int64[{}]", fmt::join(values, ",")),
                  DType::kI64,
                  {static_cast<int64_t>(values.size())},
                  {bytes.begin(), bytes.end()});
}

onnx::NodeProto Rewriter::unsqueeze(const std::string& name,
                                    const std::string& input,
                                    const std::string& output,
                                    const std::vector<int64_t>& axes) {
  return opset() < kAxesAreInputs
             ? make_node("Unsqueeze", name, {input}, {output}, {{"axes", axes}})
             : make_node("Unsqueeze", name, {input, integers(axes)}, {output});
}

onnx::NodeProto Rewriter::split(const std::string& name,
                                const std::string& input,
                                const std::vector<std::string>& outputs,
                                int64_t axis,
                                const std::vector<int64_t>& sizes) {
  return opset() < kAxesAreInputs
             ? make_node("Split", name, {input}, outputs, {{"axis", axis}, {"split", sizes}})
             : make_node("Split", name, {input, integers(sizes)}, outputs, {{"axis", axis}});
}

onnx::NodeProto Rewriter::slice(const std::string& name,
                                const std::string& input,
                                const std::string& output,
                                int64_t begin,
                                int64_t end,
                                int64_t axis) {
  if (opset() < kBoundsAreInputs) {
    const auto one = [](int64_t value) { return std::vector<int64_t>{value}; };
    return make_node("Slice",
                     name,
                     {input},
                     {output},
                     {{"axes", one(axis)}, {"starts", one(begin)}, {"ends", one(end)}});
  }
  return make_node(
      "Slice", name, {input, integers({begin}), integers({end}), integers({axis})}, {output});
}

void Rewriter::require_opset(const std::string& domain, int64_t version) {
  for (auto& opset : *model_.proto.mutable_opset_import()) {
    if (opset.domain() == domain || (domain.empty() && opset.domain() == "ai.onnx")) {
      opset.set_version(std::max<int64_t>(opset.version(), version));
      return;
    }
  }
  auto* added = model_.proto.add_opset_import();
  added->set_domain(domain);
  added->set_version(version);
}

void Rewriter::drop_unused_weights() {
  refresh();
  google::protobuf::RepeatedPtrField<onnx::TensorProto> declared;
  declared.Swap(model_.proto.mutable_graph()->mutable_initializer());
  for (onnx::TensorProto& tensor : declared) {
    if (uses(tensor.name()) == 0 && !inputs_.contains(tensor.name())) {
      model_.weights.erase(tensor.name());
      constants_.clear();
    } else {
      *model_.proto.mutable_graph()->add_initializer() = std::move(tensor);
    }
  }
}

}  // namespace lorapress
