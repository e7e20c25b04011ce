#include "rewrite/float16_ops.h"

#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "graph/ops.h"

namespace lorapress {
namespace {

using Names = std::span<const std::string_view>;

// clang-format off
constexpr std::array<std::string_view, 40> kNoHalf = {
    "ArrayFeatureExtractor", "BlackmanWindow", "Constant", "ConstantOfShape", "CumSum", "DFT",
    "DequantizeLinear", "DynamicQuantizeLinear", "EyeLike", "HammingWindow", "HannWindow",
    "LabelEncoder", "Max", "MelWeightMatrix", "Min", "Multinomial", "NonMaxSuppression", "OneHot",
    "Optional", "OptionalGetElement", "OptionalHasElement", "QLinearConv", "QLinearMatMul",
    "QuantizeLinear", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
    "Range", "Resize", "RoiAlign", "STFT", "SequenceAt", "SequenceConstruct", "SequenceInsert",
    "SplitToSequence", "StringNormalizer", "TfIdfVectorizer", "TopK", "Upsample",
};

constexpr std::array<std::string_view, 15> kStatistics = {
    "Exp", "Log", "LogSoftmax", "LpNormalization", "Pow", "Reciprocal", "ReduceL1", "ReduceL2",
    "ReduceLogSum", "ReduceLogSumExp", "ReduceMean", "ReduceProd", "ReduceSum", "ReduceSumSquare",
    "Sqrt",
};

constexpr std::array<std::string_view, 4> kArithmetic = {
    "Add", "Div", "Mul", "Sub",
};

constexpr std::array<std::string_view, 39> kSimple = {
    "Abs", "Add", "Ceil", "Clip", "Concat", "Cos", "Div", "Einsum", "Equal", "Expand", "Flatten",
    "Floor", "Gather", "GatherElements", "Greater", "GreaterOrEqual", "Identity", "Less",
    "LessOrEqual", "MatMul", "Mod", "Mul", "Neg", "Pad", "ReduceMax", "ReduceMin", "Reshape",
    "Round", "ScatterND", "Sin", "Slice", "Split", "Squeeze", "Sub", "Tile", "Transpose", "Trilu",
    "Unsqueeze", "Where",
};
constexpr std::array<std::string_view, 23> kNotFloat = {
    "And", "ArgMax", "ArgMin", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less",
    "LessOrEqual", "NonMaxSuppression", "NonZero", "Not", "OptionalHasElement", "Or",
    "QuantizeLinear", "SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SequenceLength",
    "Shape", "Size", "SplitToSequence",
};

constexpr std::array<std::string_view, 7> kAny = {
    "Cast", "IsInf", "IsNaN", "NonZero", "Shape", "Size", "SequenceLength",
};

// Operators of com.microsoft whose schemas take float16.
constexpr std::array<std::string_view, 24> kMicrosoftHalf = {
    "Attention", "BiasAdd", "BiasGelu", "BiasSplitGelu", "DecoderMaskedMultiHeadAttention",
    "DecoderMaskedSelfAttention", "EmbedLayerNormalization", "FastGelu", "FusedMatMul",
    "GatherBlockQuantized", "Gelu", "GroupNorm", "GroupQueryAttention", "MatMulBnb4", "MatMulNBits",
    "MultiHeadAttention", "NhwcConv", "PackedMultiHeadAttention", "QuickGelu",
    "RelativePositionBias", "RotaryEmbedding", "SkipGroupNorm", "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
};

constexpr std::array<std::string_view, 11> kMoves = {
    "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Tile", "Transpose",
    "Trilu", "Unsqueeze",
};

constexpr std::array<std::string_view, 5> kComparisons = {
    "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual",
};

constexpr std::array<std::string_view, 15> kProducts = {
    "Attention", "Conv", "ConvTranspose", "Einsum", "FusedMatMul", "GRU", "Gather", "Gemm", "LSTM",
    "MatMul", "MatMulBnb4", "MatMulNBits", "NhwcConv", "PackedMultiHeadAttention", "RNN",
};
// clang-format on

bool is_one_of(Names names, const std::string& name) {
  return std::ranges::find(names, std::string_view(name)) != names.end();
}

}  // namespace

bool is_standard(const onnx::NodeProto& node) {
  return node.domain().empty() || node.domain() == "ai.onnx";
}

bool has_half_form(const onnx::NodeProto& node) {
  return is_standard(node)
             ? !is_one_of(kNoHalf, node.op_type())
             : node.domain() == kMicrosoftDomain && is_one_of(kMicrosoftHalf, node.op_type());
}

bool is_simple(const onnx::NodeProto& node) {
  return is_standard(node) && is_one_of(kSimple, node.op_type());
}

bool is_statistic(const onnx::NodeProto& node) {
  return is_standard(node) && is_one_of(kStatistics, node.op_type());
}

bool is_arithmetic(const onnx::NodeProto& node) {
  return is_standard(node) && is_one_of(kArithmetic, node.op_type());
}

bool takes_any_type(const onnx::NodeProto& node) {
  return is_standard(node) && is_one_of(kAny, node.op_type());
}

bool only_moves(const onnx::NodeProto& node) {
  return is_standard(node) && is_one_of(kMoves, node.op_type());
}

bool is_product(const onnx::NodeProto& node) {
  return is_one_of(kProducts, node.op_type());
}

bool compares(const onnx::NodeProto& node) {
  return is_standard(node) && is_one_of(kComparisons, node.op_type());
}

bool gives_no_float(const onnx::NodeProto& node, int output) {
  const std::string& op = node.op_type();
  if (op == "DynamicQuantizeLinear") {
    return output != 1;
  }
  return is_one_of(kNotFloat, op) ||
         (output > 0 && (op == "TopK" || op == "MaxPool" || op == "Dropout"));
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
  const std::string& op = node.op_type();
  const bool bounds = is_standard(node) && (op == "Max" || op == "Min" || op == "ScatterElements");
  return bounds || (is_simple(node) && op != "MatMul" && op != "Einsum" && op != "Gather");
}

}  // namespace lorapress
