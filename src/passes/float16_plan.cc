#include "passes/float16_plan.h"

#include <algorithm>
#include <array>

#include "graph/write.h"

namespace lorapress {
namespace {

using Names = std::span<const std::string_view>;

// No float16 form, or none that every runtime has. onnxruntime/python/tools/transformers/float16.py
// (DEFAULT_OP_BLOCK_LIST) and what quantizes.
constexpr std::array<std::string_view, 40> kNoHalf = {
    "ArrayFeatureExtractor",
    "BlackmanWindow",
    "Constant",
    "ConstantOfShape",
    "CumSum",
    "DFT",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "EyeLike",
    "HammingWindow",
    "HannWindow",
    "LabelEncoder",
    "Max",
    "MelWeightMatrix",
    "Min",
    "Multinomial",
    "NonMaxSuppression",
    "OneHot",
    "Optional",
    "OptionalGetElement",
    "OptionalHasElement",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Range",
    "Resize",
    "RoiAlign",
    "STFT",
    "SequenceAt",
    "SequenceConstruct",
    "SequenceInsert",
    "SplitToSequence",
    "StringNormalizer",
    "TfIdfVectorizer",
    "TopK",
    "Upsample",
};

constexpr std::array<std::string_view, 15> kStatistics = {
    "Exp",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "Pow",
    "Reciprocal",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMean",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Sqrt",
};

// Those that join a statistic with the values it was taken of.
constexpr std::array<std::string_view, 4> kArithmetic = {"Add", "Div", "Mul", "Sub"};

constexpr std::array<std::string_view, 30> kSimple = {
    "Abs",    "Add",     "Ceil",    "Clip",      "Concat",         "Cos",       "Div",    "Einsum",
    "Expand", "Flatten", "Floor",   "Gather",    "GatherElements", "Identity",  "MatMul", "Mod",
    "Mul",    "Neg",     "Pad",     "ReduceMax", "ReduceMin",      "Reshape",   "Round",  "Sin",
    "Slice",  "Split",   "Squeeze", "Sub",       "Tile",           "Transpose",
};
constexpr std::array<std::string_view, 9> kSimpleToo = {"Equal",
                                                        "Greater",
                                                        "GreaterOrEqual",
                                                        "Less",
                                                        "LessOrEqual",
                                                        "ScatterND",
                                                        "Trilu",
                                                        "Unsqueeze",
                                                        "Where"};

// Never float, whatever comes in. The first output alone where `first_only`.
constexpr std::array<std::string_view, 23> kNotFloat = {
    "And",
    "ArgMax",
    "ArgMin",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "IsInf",
    "IsNaN",
    "Less",
    "LessOrEqual",
    "NonMaxSuppression",
    "NonZero",
    "Not",
    "OptionalHasElement",
    "Or",
    "QuantizeLinear",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceInsert",
    "SequenceLength",
    "Shape",
    "Size",
    "SplitToSequence",
};

// Read the type or the shape, or convert.
constexpr std::array<std::string_view, 7> kAny = {
    "Cast", "IsInf", "IsNaN", "NonZero", "Shape", "Size", "SequenceLength"};

// Operators of com.microsoft whose schemas take float16.
constexpr std::array<std::string_view, 24> kMicrosoftHalf = {
    "Attention",
    "BiasAdd",
    "BiasGelu",
    "BiasSplitGelu",
    "DecoderMaskedMultiHeadAttention",
    "DecoderMaskedSelfAttention",
    "EmbedLayerNormalization",
    "FastGelu",
    "FusedMatMul",
    "GatherBlockQuantized",
    "Gelu",
    "GroupNorm",
    "GroupQueryAttention",
    "MatMulBnb4",
    "MatMulNBits",
    "MultiHeadAttention",
    "NhwcConv",
    "PackedMultiHeadAttention",
    "QuickGelu",
    "RelativePositionBias",
    "RotaryEmbedding",
    "SkipGroupNorm",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
};

bool is_one_of(Names names, const std::string& name) {
  return std::ranges::find(names, std::string_view(name)) != names.end();
}

bool is_standard(const onnx::NodeProto& node) {
  return node.domain().empty() || node.domain() == "ai.onnx";
}

bool is_simple(const onnx::NodeProto& node) {
  return is_standard(node) &&
         (is_one_of(kSimple, node.op_type()) || is_one_of(kSimpleToo, node.op_type()));
}

bool has_half_form(const onnx::NodeProto& node) {
  return is_standard(node)
             ? !is_one_of(kNoHalf, node.op_type())
             : node.domain() == kMicrosoftDomain && is_one_of(kMicrosoftHalf, node.op_type());
}

bool is_float32(const std::optional<DeclaredType>& type) {
  return type && type->type.dtype == DType::kF32;
}

template <typename Visit>
void for_each_body(const onnx::NodeProto& node, const Visit& visit) {
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g()) {
      visit(attribute.g());
    }
    for (const auto& graph : attribute.graphs()) {
      visit(graph);
    }
  }
}

}  // namespace

bool is_cache_port(std::string_view name) {
  return name.starts_with("past_key_values.") || name.starts_with("present.");
}

bool input_stays_float(const onnx::NodeProto& node, int input) {
  return (node.op_type() == "GroupNorm" || node.op_type() == "SkipGroupNorm") &&
         node.domain() == kMicrosoftDomain && (input == 1 || input == 2);
}

bool output_stays_float(const onnx::NodeProto& node, int output) {
  const bool norm = node.op_type() == "LayerNormalization" ||
                    node.op_type() == "SkipLayerNormalization" ||
                    node.op_type() == "SkipSimplifiedLayerNormalization";
  return norm && (output == 1 || output == 2);  // mean and inverse deviation
}

bool carries_fill(const onnx::NodeProto& node) {
  return is_simple(node) && node.op_type() != "MatMul" && node.op_type() != "Einsum" &&
         node.op_type() != "Gather";
}

Float16Plan::Float16Plan(const onnx::GraphProto& graph,
                         const Rewriter& rewriter,
                         const Stays& stays)
    : rewriter_(rewriter), stays_(stays) {
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
      flows_[input.name()] = is_body || is_cache_port(input.name()) ? Flow::kHalf : Flow::kFloat;
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

// Inputs of bodies without a declared type have that of what is fed: Loop and Scan feed their own
// inputs in order (after the trip count and the condition of a Loop).
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
    if (attribute.has_g()) {  // what the body gives, behind the condition of a Loop
      const int at = op == "Loop" ? output + 1 : output;
      return at < attribute.g().output_size() &&
             flow(attribute.g().output(at).name()) != Flow::kNone;
    }
  }
  if (is_one_of(kNotFloat, op) ||
      (output > 0 &&
       (op == "TopK" || op == "MaxPool" || op == "Dropout" || op == "DynamicQuantizeLinear"))) {
    return op == "DynamicQuantizeLinear" && output == 1;
  }
  if (op == "DynamicQuantizeLinear") {
    return false;
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

// A Cast to float32 of integers starts arithmetic on them. One of float16 or float32 values is
// there for the sake of the old types and follows its input.
Mode Float16Plan::cast_mode(const onnx::NodeProto& node, Flow* out) const {
  const Flow in = flow(node.input(0));
  const auto type = rewriter_.type(node.input(0));
  const bool from_half = type && type->type.dtype == DType::kF16;
  *out = in != Flow::kNone ? in : from_half ? Flow::kHalf : Flow::kIndex;
  return Mode::kAny;
}

Mode Float16Plan::mode_of(const onnx::NodeProto& node, Flow* out) const {
  const std::string& op = node.op_type();
  if (is_standard(node) && op == "Cast") {
    return cast_mode(node, out);
  }
  bool half = false;
  bool single = false;  // float32 that is nothing special
  bool statistic = false;
  bool index = false;
  bool large_weight = false;
  bool any_float = false;
  for (const std::string& input : node.input()) {
    const WeightPtr weight = rewriter_.weight(input);
    large_weight = large_weight ||
                   (weight && weight->dtype() == DType::kF32 && weight->bytes() > kSmallTensor);
    const Flow flow = weight ? Flow::kNone : this->flow(input);
    any_float = any_float || flow != Flow::kNone || is_float_weight(input);
    half = half || flow == Flow::kHalf;
    single = single || flow == Flow::kFloat;
    statistic = statistic || flow == Flow::kStatistic;
    index = index || flow == Flow::kIndex;
  }
  const bool body = std::ranges::any_of(
      node.attribute(), [](const auto& a) { return a.has_g() || a.graphs_size() > 0; });
  if (body) {
    *out = Flow::kHalf;
    return Mode::kHalf;
  }
  if (is_standard(node) && is_one_of(kAny, op)) {
    return Mode::kAny;
  }
  const bool constant = !half && !single && !statistic && !index && !large_weight;
  *out = Flow::kFloat;
  if (stays_(node)) {
    return Mode::kFloat;
  }
  if (!has_half_form(node) || !any_float) {
    *out = constant ? Flow::kConstant : index ? Flow::kIndex : Flow::kFloat;
    return Mode::kFloat;
  }
  const bool wholly_special = !half && !single && (statistic || index);
  if (is_standard(node) && is_one_of(kStatistics, op)) {
    *out = wholly_special && index ? Flow::kIndex : constant ? Flow::kConstant : Flow::kStatistic;
    return Mode::kFloat;
  }
  const bool weighs = large_weight && (op == "MatMul" || op == "Gather" || op == "Einsum");
  if (is_simple(node) && !weighs && (wholly_special || (constant && op != "Gather"))) {
    *out = op == "Cos" || op == "Sin" ? Flow::kFloat
           : index                    ? Flow::kIndex
           : statistic                ? Flow::kStatistic
                                      : Flow::kConstant;
    return Mode::kFloat;
  }
  if (is_standard(node) && is_one_of(kArithmetic, op) && statistic) {
    return Mode::kFloat;
  }
  *out = Flow::kHalf;
  return Mode::kHalf;
}

}  // namespace lorapress
