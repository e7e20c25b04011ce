#include "graph/graph.h"

#include <algorithm>

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
  values_.push_back({std::move(name), type});
  return {static_cast<int>(values_.size()) - 1, std::move(type)};
}

Value Graph::input(const std::string& name, DType dtype, Dims dims) {
  Value value = add_value(name, {dtype, std::move(dims)});
  inputs_.push_back(value.id);
  return value;
}

Value Graph::initializer(const std::string& name, WeightPtr weight) {
  Dims dims(weight->shape().begin(), weight->shape().end());
  Value value = add_value(name, {weight->dtype(), std::move(dims)});
  initializers_.push_back({value.id, std::move(weight)});
  return value;
}

void Graph::output(const Value& value, const std::string& name, Dims dims) {
  if (!names_.insert(name).second) {
    fail(ErrorCode::kInvalidArgument, "graph {}: the name {} is used twice", name_, name);
  }
  Named& named = values_.at(static_cast<size_t>(value.id));
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
  nodes_.push_back(std::move(node));
  return outputs;
}

bool Graph::uses_microsoft_domain() const {
  return std::ranges::any_of(nodes_,
                             [](const Node& node) { return node.op->domain == kMicrosoftDomain; });
}

}  // namespace lorapress
