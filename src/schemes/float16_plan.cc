#include "schemes/float16_plan.h"

#include <algorithm>
#include <cmath>

#include "graph/bodies.h"
#include "graph/ports.h"
#include "graph/write.h"
#include "rewrite/float16_ops.h"

namespace lorapress {
namespace {

bool is_float32(const std::optional<DeclaredType>& type) {
  return type && type->type.dtype == DType::kF32;
}

}  // namespace

Float16Plan::Float16Plan(const onnx::GraphProto& graph,
                         const Rewriter& rewriter,
                         const HalfConstants& constants,
                         const Stays& stays)
    : rewriter_(rewriter), constants_(constants), stays_(stays) {
  walk(graph, false);
}

Flow Float16Plan::flow(const std::string& name) const {
  const auto found = flows_.find(name);
  return found == flows_.end() ? Flow::kNone : found->second;
}

Float16Plan::Readers Float16Plan::readers(const std::string& weight) const {
  const auto found = readers_.find(weight);
  return found == readers_.end() ? Readers{} : found->second;
}

bool Float16Plan::is_float_weight(const std::string& name) const {
  const WeightPtr weight = rewriter_.weight(name);
  return weight && weight->dtype() == DType::kF32;
}

void Float16Plan::walk(const onnx::GraphProto& graph, bool is_body) {
  for (const auto& input : graph.input()) {
    if (is_float32(rewriter_.type(input.name())) && !rewriter_.weight(input.name())) {
      const bool half =
          is_body || (is_cache_port(input.name()) && !rewriter_.has_default(input.name()));
      flows_[input.name()] = half ? Flow::kHalf : Flow::kFloat;
    }
  }
  for (const auto& node : graph.node()) {
    for_each_body(node, [&](const onnx::GraphProto& body) {
      enter_body(node, body);
      walk(body, true);
    });
    decide(node);
  }
  for (const auto& output : graph.output()) {
    if (is_body && flow(output.name()) != Flow::kNone) {
      body_outputs_.insert(output.name());
    }
    if (is_float_weight(output.name())) {
      ++readers_[output.name()].single;
    }
  }
}

// Inputs of bodies without a declared type have the type of the fed value: Loop and Scan feed their
// own inputs in order (after the trip count and the condition of a Loop).
void Float16Plan::enter_body(const onnx::NodeProto& holder, const onnx::GraphProto& body) {
  for (int i = 0; i < body.input_size() && i < holder.input_size(); ++i) {
    const std::string& name = body.input(i).name();
    const bool fed_float = flow(holder.input(i)) != Flow::kNone || is_float_weight(holder.input(i));
    if (!rewriter_.type(name) && fed_float) {
      flows_[name] = Flow::kHalf;
    }
  }
}

bool Float16Plan::gives_float(const onnx::NodeProto& node, int output) const {
  if (const auto type = rewriter_.type(node.output(output))) {
    return type->type.dtype == DType::kF32;
  }
  const std::string& op = node.op_type();
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g()) {  // the body's outputs, after the condition of a Loop
      const int at = op == "Loop" ? output + 1 : output;
      return at < attribute.g().output_size() &&
             flow(attribute.g().output(at).name()) != Flow::kNone;
    }
  }
  if (gives_no_float(node, output)) {
    return false;
  }
  if (op == "DynamicQuantizeLinear") {
    return true;  // the scale
  }
  if (op == "Cast" || op == "ConstantOfShape" || op == "Constant" || op.starts_with("Random")) {
    const char* key = op == "Cast" ? "to" : "dtype";
    int64_t type = integer_attribute(node, key, onnx::TensorProto::FLOAT);
    for (const auto& attribute : node.attribute()) {
      type = attribute.has_t() ? attribute.t().data_type() : type;
    }
    return type == onnx::TensorProto::FLOAT;
  }
  return std::ranges::any_of(node.input(), [&](const std::string& input) {
    return flow(input) != Flow::kNone || is_float_weight(input);
  });
}

void Float16Plan::decide(const onnx::NodeProto& node) {
  Flow out = Flow::kHalf;
  Mode mode = mode_of(node, &out);
  modes_.push_back(mode);
  if (makes_tiny(node)) {
    tiny_.insert(node.output(0));
  }
  for (int i = 0; i < node.output_size(); ++i) {
    if (!node.output(i).empty() && gives_float(node, i)) {
      flows_[node.output(i)] = output_stays_float(node, i) ? Flow::kFloat : out;
    }
  }
  for (int i = 0; i < node.input_size(); ++i) {
    if (is_float_weight(node.input(i))) {
      Readers& readers = readers_[node.input(i)];
      ++(mode == Mode::kHalf && !input_stays_float(node, i) ? readers.half : readers.single);
    }
  }
}

// A constant such as eps, moved or made by ConstantOfShape.
bool Float16Plan::makes_tiny(const onnx::NodeProto& node) const {
  if (is_standard(node) && node.op_type() == "ConstantOfShape" && node.output_size() == 1) {
    return std::ranges::any_of(node.attribute(), [](const onnx::AttributeProto& attribute) {
      const WeightPtr value = attribute.has_t() ? float_tensor(attribute.t()) : nullptr;
      return value && vanishes_in_half(*value);
    });
  }
  return only_moves(node) && node.input_size() > 0 && is_tiny(node.input(0));
}

bool Float16Plan::is_tiny(const std::string& name) const {
  return tiny_.contains(name) || (constants_.vanishing.contains(name) && is_float_weight(name));
}

// x / (max|x| + eps), log(p + eps), clip(p, eps): with an eps that float16 has no number for, also
// as an attribute, as in Clip before opset 11.
bool Float16Plan::guards(const onnx::NodeProto& node) const {
  const bool bounds = is_standard(node) && (node.op_type() == "Max" || node.op_type() == "Min");
  if (!bounds && !is_simple(node)) {
    return false;
  }
  const auto tiny = [](float value) { return value != 0.0F && std::fabs(value) < kSmallestHalf; };
  const bool attribute = node.op_type() == "Clip" && (tiny(float_attribute(node, "min", 0.0F)) ||
                                                      tiny(float_attribute(node, "max", 0.0F)));
  return attribute || std::ranges::any_of(node.input(),
                                          [&](const std::string& input) { return is_tiny(input); });
}

// Scores with a mask that was made of fed values, and their softmax: in a row that is masked
// completely the result depends on the fills alone, which exceed float16's range.
bool Float16Plan::joins_mask(const onnx::NodeProto& node) const {
  const std::string& op = node.op_type();
  const bool fits = is_standard(node) && (op == "Add" || op == "Sub" || op == "Softmax");
  return fits && std::ranges::any_of(node.input(), [&](const std::string& input) {
           const Flow in = flow(input);
           return constants_.filled.contains(input) && (in == Flow::kFloat || in == Flow::kIndex);
         });
}

// A Cast to float32 of integers starts arithmetic on them. A Cast of float16 or float32 values only
// served the old types and follows its input.
Mode Float16Plan::cast_mode(const onnx::NodeProto& node, Flow* out) const {
  const Flow in = flow(node.input(0));
  const auto type = rewriter_.type(node.input(0));
  const bool from_half = type && type->type.dtype == DType::kF16;
  *out = in != Flow::kNone ? in : from_half ? Flow::kHalf : Flow::kIndex;
  return Mode::kAny;
}

Float16Plan::Inputs Float16Plan::inputs_of(const onnx::NodeProto& node) const {
  Inputs in;
  for (const std::string& input : node.input()) {
    const WeightPtr weight = rewriter_.weight(input);
    const bool is_float = weight && weight->dtype() == DType::kF32;
    const Flow flow = weight ? Flow::kNone : this->flow(input);
    in.large_weight = in.large_weight || (is_float && weight->bytes() > kSmallTensor);
    in.any_float = in.any_float || is_float || flow != Flow::kNone;
    in.half = in.half || flow == Flow::kHalf;
    in.single = in.single || flow == Flow::kFloat;
    in.statistic = in.statistic || flow == Flow::kStatistic;
    in.index = in.index || flow == Flow::kIndex;
  }
  return in;
}

// The flow of a float32 node's outputs: `mixed` where its inputs are not integers only.
Flow Float16Plan::Inputs::flow_or_index(Flow mixed) const {
  return half || single || statistic ? mixed : Flow::kIndex;
}

Flow Float16Plan::Inputs::special() const {
  return index ? Flow::kIndex : statistic ? Flow::kStatistic : Flow::kConstant;
}

Mode Float16Plan::mode_of(const onnx::NodeProto& node, Flow* out) const {
  if (is_standard(node) && node.op_type() == "Cast") {
    return cast_mode(node, out);
  }
  const Inputs in = inputs_of(node);
  bool body = false;
  for_each_body(node, [&](const onnx::GraphProto& /*body*/) { body = true; });
  if (body) {
    *out = Flow::kHalf;
    return Mode::kHalf;
  }
  if (takes_any_type(node)) {
    return Mode::kAny;
  }
  if (const auto stays = stays_float(node, in)) {
    *out = *stays;
    return Mode::kFloat;
  }
  *out = Flow::kHalf;
  return Mode::kHalf;
}

std::optional<Flow> Float16Plan::stays_float(const onnx::NodeProto& node, const Inputs& in) const {
  const std::string& op = node.op_type();
  if (stays_(node)) {
    return Flow::kFloat;
  }
  if (joins_mask(node)) {
    return in.flow_or_index(Flow::kFloat);
  }
  if (!in.constant() && guards(node)) {
    return in.flow_or_index(Flow::kStatistic);
  }
  if (!has_half_form(node) || !in.any_float) {
    return in.constant() ? Flow::kConstant : in.index ? Flow::kIndex : Flow::kFloat;
  }
  if (is_statistic(node)) {
    return in.constant()                     ? Flow::kConstant
           : in.wholly_special() && in.index ? Flow::kIndex
                                             : Flow::kStatistic;
  }
  const bool weighs = in.large_weight && (op == "MatMul" || op == "Gather" || op == "Einsum");
  if (is_simple(node) && !weighs && (in.wholly_special() || (in.constant() && op != "Gather"))) {
    return op == "Cos" || op == "Sin" ? Flow::kFloat : in.special();
  }
  return is_arithmetic(node) && in.statistic ? std::optional(Flow::kFloat) : std::nullopt;
}

}  // namespace lorapress
