// The one table of operators that LoraPress emits: domain, first opset, and the rule that infers
// the types of the outputs. An operator that is not in the table cannot be emitted.
#ifndef LORAPRESS_GRAPH_OPS_H_
#define LORAPRESS_GRAPH_OPS_H_

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "graph/value.h"

namespace lorapress {

struct Body;  // graph.h: a Loop's body or an If's branch
using BodyPtr = std::shared_ptr<const Body>;
using AttributeValue = std::variant<int64_t, float, std::string, std::vector<int64_t>, BodyPtr>;

struct Attribute {
  std::string_view name;
  AttributeValue value;
};

using Attributes = std::vector<Attribute>;

// What a rule sees: input types (an absent optional input has no dims and `present` false), the
// int64 content of constant inputs, and the attributes.
struct OpInput {
  bool present = false;
  TensorType type;
  std::optional<std::vector<int64_t>> constant;
};

struct OpContext {
  std::span<const OpInput> inputs;
  const Attributes& attributes;
  [[nodiscard]] const OpInput& input(size_t index) const;
  [[nodiscard]] int64_t integer(std::string_view name, int64_t fallback) const;
  [[nodiscard]] const std::vector<int64_t>* integers(std::string_view name) const;
  [[nodiscard]] const Body& body() const;
};

using ShapeRule = std::vector<TensorType> (*)(const OpContext&);

struct OpRow {
  std::string_view name;
  std::string_view domain;  // "" is ai.onnx
  int since_opset;          // first opset in which the emitted form is valid (ai.onnx only)
  ShapeRule infer;
};

inline constexpr std::string_view kMicrosoftDomain = "com.microsoft";

// Throws kUnsupported for an unknown operator.
const OpRow& op_row(std::string_view name);
std::span<const OpRow> op_table();

}  // namespace lorapress

#endif  // LORAPRESS_GRAPH_OPS_H_
