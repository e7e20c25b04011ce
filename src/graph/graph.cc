#include "graph/graph.h"

#include <algorithm>
#include <numeric>

#include "base/fail.h"

namespace lorapress {

Graph::Graph(std::string name, int opset) : name_(std::move(name)), opset_(opset) {
  if (opset < 17 || opset > 23) {
    fail(ErrorCode::kUnsupported, "opset {} is not supported, expected 17 to 23", opset);
  }
}

Value Graph::add_value(std::string name, TensorType type) {
  if (!names_.insert(name).second) {
    fail(ErrorCode::kInvalidArgument, "graph {}: the name {} is used twice", name_, name);
  }
  values_.push_back({std::move(name), type, scopes_.empty() ? 0 : scopes_.back().id});
  return {static_cast<int>(values_.size()) - 1, std::move(type)};
}

Value Graph::input(const std::string& name, DType dtype, Dims dims) {
  Value value = add_value(name, {dtype, std::move(dims)});
  inputs_.push_back(value.id);
  return value;
}

Value Graph::optional_input(const std::string& name, Dims dims, WeightPtr usual) {
  Value value = input(name, usual->dtype(), std::move(dims));
  initializers_.push_back({value.id, std::move(usual)});
  return value;
}

Value Graph::initializer(const std::string& name, WeightPtr weight) {
  Dims dims(weight->shape().begin(), weight->shape().end());
  Value value = add_value(name, {weight->dtype(), std::move(dims)});
  values_.back().scope = 0;  // also when created inside a body
  initializers_.push_back({value.id, std::move(weight)});
  return value;
}

void Graph::output(const Value& value, const std::string& name, Dims dims) {
  if (!names_.insert(name).second) {
    fail(ErrorCode::kInvalidArgument, "graph {}: the name {} is used twice", name_, name);
  }
  Named& named = values_.at(static_cast<size_t>(value.id));
  if (!scopes_.empty() || named.scope != 0) {
    fail(ErrorCode::kInvalidArgument, "graph {}: the output {} is inside a body", name_, name);
  }
  named.name = name;
  named.type.dims = std::move(dims);
  outputs_.push_back(value.id);
}

Value Graph::constant(const std::string& name,
                      DType dtype,
                      Shape shape,
                      std::vector<std::byte> bytes) {
  const auto found = constants_.find(name);
  if (found != constants_.end()) {
    return found->second;
  }
  return constants_[name] =
             initializer(name, constant_weight(dtype, std::move(shape), std::move(bytes)));
}

Value Graph::integers(const std::vector<int64_t>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  const Value value = constant(fmt::format("/constants/int64[{}]", fmt::join(values, ",")),
                               DType::kI64,
                               {static_cast<int64_t>(values.size())},
                               {bytes.begin(), bytes.end()});
  integer_content_[value.id] = values;
  return value;
}

Value Graph::integer(int64_t value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  const Value made = constant(
      fmt::format("/constants/int64/{}", value), DType::kI64, {}, {bytes.begin(), bytes.end()});
  integer_content_[made.id] = {value};
  return made;
}

Value Graph::scalar(float value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  return constant(
      fmt::format("/constants/float32/{}", value), DType::kF32, {}, {bytes.begin(), bytes.end()});
}

Value Graph::boolean(bool value) {
  return constant(fmt::format("/constants/bool/{}", value),
                  DType::kBool,
                  {},
                  {static_cast<std::byte>(value ? 1 : 0)});
}

// Nodes are emitted into the body while this object lives.
class Graph::OpenScope {
 public:
  OpenScope(Graph& graph, std::vector<Node>* nodes) : graph_(graph) {
    graph_.scopes_.push_back({++graph_.last_scope_, nodes});
  }
  ~OpenScope() { graph_.scopes_.pop_back(); }
  OpenScope(const OpenScope&) = delete;
  OpenScope& operator=(const OpenScope&) = delete;
  [[nodiscard]] int id() const { return graph_.scopes_.back().id; }

 private:
  Graph& graph_;
};

BodyPtr Graph::body(const std::string& name,
                    const std::vector<BodyInput>& inputs,
                    const std::function<std::vector<Value>(const std::vector<Value>&)>& author) {
  if (!names_.insert(name).second) {
    fail(ErrorCode::kInvalidArgument, "graph {}: the name {} is used twice", name_, name);
  }
  auto body = std::make_shared<Body>();
  body->name = name;
  const OpenScope scope(*this, &body->nodes);
  std::vector<Value> values;
  for (const BodyInput& input : inputs) {
    values.push_back(add_value(name + "/" + input.name, {input.dtype, input.dims}));
    body->inputs.push_back(values.back().id);
    body->input_types.push_back(values.back().type);
  }
  for (const Value& output : author(values)) {
    if (!output.present() || values_.at(static_cast<size_t>(output.id)).scope != scope.id() ||
        std::ranges::count(body->outputs, output.id) != 0) {
      fail(ErrorCode::kInvalidArgument,
           "graph {}: body {}: output {} is not made in it or given twice",
           name_,
           name,
           body->outputs.size());
    }
    body->outputs.push_back(output.id);
    body->output_types.push_back(output.type);
  }
  return body;
}

std::vector<Value> Graph::loop(const std::string& name,
                               const std::vector<Value>& inputs,
                               BodyPtr body) {
  std::vector<size_t> all(body->outputs.empty() ? 0 : body->outputs.size() - 1);
  std::iota(all.begin(), all.end(), size_t{0});
  return ops("Loop", name, inputs, {{"body", std::move(body)}}, all);
}

bool Graph::visible(const Value& value) const {
  const int scope = values_.at(static_cast<size_t>(value.id)).scope;
  return scope == 0 || std::ranges::count(scopes_, scope, &Scope::id) != 0;
}

Value Graph::op(std::string_view type,
                const std::string& name,
                const std::vector<Value>& inputs,
                Attributes attributes) {
  return ops(type, name, inputs, std::move(attributes), {0})[0];
}

std::vector<Value> Graph::ops(std::string_view type,
                              const std::string& name,
                              const std::vector<Value>& inputs,
                              Attributes attributes,
                              const std::vector<size_t>& wanted) {
  const OpRow& row = op_row(type);
  if (row.domain.empty() && row.since_opset > opset_) {
    fail(ErrorCode::kUnsupported,
         "{}: {} needs opset {}, the graph has {}",
         name,
         type,
         row.since_opset,
         opset_);
  }
  std::vector<OpInput> context;
  Node node{&row, name, {}, {}, std::move(attributes)};
  for (const Value& input : inputs) {
    if (input.present() && !visible(input)) {
      fail(ErrorCode::kInvalidArgument,
           "graph {}: {}: {} is inside a body that has ended",
           name_,
           name,
           value_name(input.id));
    }
    const auto content = integer_content_.find(input.id);
    context.push_back(
        {input.present(),
         input.type,
         content == integer_content_.end() ? std::nullopt : std::optional(content->second)});
    node.inputs.push_back(input.id);
  }
  std::vector<TensorType> types;
  try {
    types = row.infer({context, node.attributes});
  } catch (const std::exception& error) {  // rules read dims with at()
    const auto* ours = dynamic_cast<const Error*>(&error);
    throw Error(ours != nullptr ? ours->code() : ErrorCode::kInvalidArgument,
                fmt::format("graph {}: {} ({}): {}", name_, name, type, error.what()));
  }
  if (!names_.insert(name).second) {
    fail(ErrorCode::kInvalidArgument, "graph {}: the name {} is used twice", name_, name);
  }
  std::vector<Value> outputs;
  for (const size_t index : wanted) {
    node.outputs.resize(index, -1);
    outputs.push_back(add_value(fmt::format("{}/output_{}", name, index), types.at(index)));
    node.outputs.push_back(outputs.back().id);
  }
  (scopes_.empty() ? nodes_ : *scopes_.back().nodes).push_back(std::move(node));
  return outputs;
}

namespace {

bool any_microsoft(const std::vector<GraphNode>& nodes) {
  return std::ranges::any_of(nodes, [](const GraphNode& node) {
    return node.op->domain == kMicrosoftDomain ||
           std::ranges::any_of(node.attributes, [](const Attribute& attribute) {
             const auto* body = std::get_if<BodyPtr>(&attribute.value);
             return body != nullptr && any_microsoft((*body)->nodes);
           });
  });
}

}  // namespace

bool Graph::uses_microsoft_domain() const {
  return any_microsoft(nodes_);
}

}  // namespace lorapress
