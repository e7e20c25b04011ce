// The one table of operators.
#include "engine/ops.h"

namespace lorapress::engine {
namespace {

using K = AttributeKind;
using O = OutputTypes;

const AttributeRow kKeepDims{"keepdims", K::kInteger, 1};
const AttributeRow kAxes{"axes", K::kIntegers};
const AttributeRow kNoop{"noop_with_empty_axes", K::kInteger, 0};
const AttributeRow kLastAxis{"axis", K::kInteger, -1};
constexpr Types kAny = kAllTypes;

const std::vector<OpRow>& rows() {
  using namespace ops;
  static const std::vector<OpRow> table = {
      // domain, name, least and most inputs, outputs, types of inputs, types of outputs, attributes, function
      {"", "Abs", 1, 1, 1, {kNumbers}, O::kFirst, {}, abs},
      {"", "Add", 2, 2, 1, {kNumbers}, O::kFirst, {}, add},
      {"", "And", 2, 2, 1, {kBools}, O::kBool, {}, logical_and},
      {"",
       "ArgMax",
       1,
       1,
       1,
       {kNumbers},
       O::kInt64,
       {{"axis", K::kInteger, 0}, kKeepDims, {"select_last_index", K::kInteger, 0}},
       arg_max},
      {"", "Cast", 1, 1, 1, {kAny}, O::kCast, {{"to", K::kInteger, 0}}, cast},
      {"", "Clip", 1, 3, 1, {kFloats}, O::kFirst, {}, clip},
      {"", "Concat", 1, 1 << 20, 1, {kAny}, O::kFirst, {{"axis", K::kInteger, 0}}, concat},
      {"", "Cos", 1, 1, 1, {kFloats}, O::kFirst, {}, ops::cos},
      {"",
       "CumSum",
       2,
       2,
       1,
       {kNumbers, kInt64s | kInt32s},
       O::kFirst,
       {{"exclusive", K::kInteger, 0}, {"reverse", K::kInteger, 0}},
       cum_sum},
      {"", "Div", 2, 2, 1, {kNumbers}, O::kFirst, {}, ops::div},
      {"", "DynamicQuantizeLinear", 1, 1, 3, {kFloats}, O::kQuantized, {}, dynamic_quantize},
      {"", "Equal", 2, 2, 1, {kNumbers | kBools}, O::kBool, {}, equal},
      {"", "Erf", 1, 1, 1, {kFloats}, O::kFirst, {}, ops::erf},
      {"", "Expand", 2, 2, 1, {kAny, kInt64s}, O::kFirst, {}, expand},
      {"", "Floor", 1, 1, 1, {kFloats}, O::kFirst, {}, ops::floor},
      {"",
       "Gather",
       2,
       2,
       1,
       {kAny, kInt64s | kInt32s},
       O::kFirst,
       {{"axis", K::kInteger, 0}},
       gather},
      {"",
       "GatherElements",
       2,
       2,
       1,
       {kAny, kInt64s | kInt32s},
       O::kFirst,
       {{"axis", K::kInteger, 0}},
       gather_elements},
      {"",
       "GatherND",
       2,
       2,
       1,
       {kAny, kInt64s},
       O::kFirst,
       {{"batch_dims", K::kInteger, 0}},
       gather_nd},
      {"",
       "Gemm",
       2,
       3,
       1,
       {kFloats},
       O::kFirst,
       {{"alpha", K::kNumber, 0, 1.0F},
        {"beta", K::kNumber, 0, 1.0F},
        {"transA", K::kInteger, 0},
        {"transB", K::kInteger, 0}},
       gemm},
      {"", "Greater", 2, 2, 1, {kNumbers}, O::kBool, {}, greater},
      {"",
       "If",
       1,
       1,
       1 << 20,
       {kBools},
       O::kBranches,
       {{"then_branch", K::kGraph}, {"else_branch", K::kGraph}},
       if_else},
      {"",
       "LayerNormalization",
       2,
       3,
       1,
       {kFloats},
       O::kFirst,
       {kLastAxis, {"epsilon", K::kNumber, 0, 1e-5F}, {"stash_type", K::kInteger, 1}},
       layer_normalization},
      {"", "Less", 2, 2, 1, {kNumbers}, O::kBool, {}, less},
      {"", "LessOrEqual", 2, 2, 1, {kNumbers}, O::kBool, {}, less_or_equal},
      {"", "LogSoftmax", 1, 1, 1, {kFloats}, O::kFirst, {kLastAxis}, log_softmax},
      {"",
       "Loop",
       2,
       1 << 20,
       1 << 20,
       {kInt64s, kBools, kAny},
       O::kCarried,
       {{"body", K::kGraph}},
       loop},
      {"", "MatMul", 2, 2, 1, {kFloats}, O::kFirst, {}, matmul},
      {"", "MatMulInteger", 2, 4, 1, {kBytes, kBytes}, O::kInt32, {}, matmul_integer},
      {"", "Max", 2, 2, 1, {kNumbers}, O::kFirst, {}, ops::max},
      {"", "Min", 2, 2, 1, {kNumbers}, O::kFirst, {}, ops::min},
      {"", "Mod", 2, 2, 1, {kNumbers}, O::kFirst, {{"fmod", K::kInteger, 0}}, mod},
      {"", "Mul", 2, 2, 1, {kNumbers}, O::kFirst, {}, mul},
      {"", "NonZero", 1, 1, 1, {kAny}, O::kInt64, {}, non_zero},
      {"", "Not", 1, 1, 1, {kBools}, O::kBool, {}, logical_not},
      {"", "Or", 2, 2, 1, {kBools}, O::kBool, {}, logical_or},
      {"", "Pow", 2, 2, 1, {kFloats}, O::kFirst, {}, ops::pow},
      {"", "Range", 3, 3, 1, {kNumbers}, O::kFirst, {}, range},
      {"",
       "ReduceMax",
       1,
       2,
       1,
       {kNumbers, kInt64s},
       O::kFirst,
       {kKeepDims, kAxes, kNoop},
       reduce_max},
      {"",
       "ReduceMean",
       1,
       2,
       1,
       {kFloats, kInt64s},
       O::kFirst,
       {kKeepDims, kAxes, kNoop},
       reduce_mean},
      {"",
       "ReduceMin",
       1,
       2,
       1,
       {kNumbers, kInt64s},
       O::kFirst,
       {kKeepDims, kAxes, kNoop},
       reduce_min},
      {"",
       "ReduceSum",
       1,
       2,
       1,
       {kNumbers, kInt64s},
       O::kFirst,
       {kKeepDims, kAxes, kNoop},
       reduce_sum},
      {"", "Relu", 1, 1, 1, {kFloats}, O::kFirst, {}, relu},
      {"", "Reshape", 2, 2, 1, {kAny, kInt64s}, O::kFirst, {}, reshape},
      {"",
       "ScatterElements",
       3,
       3,
       1,
       {kAny, kInt64s | kInt32s, kAny},
       O::kFirst,
       {{"axis", K::kInteger, 0}},
       scatter_elements},
      {"", "Shape", 1, 1, 1, {kAny}, O::kInt64, {}, shape},
      {"", "Sigmoid", 1, 1, 1, {kFloats}, O::kFirst, {}, sigmoid},
      {"", "Sin", 1, 1, 1, {kFloats}, O::kFirst, {}, ops::sin},
      {"", "Slice", 3, 5, 1, {kAny, kInt64s}, O::kFirst, {}, slice},
      {"", "Softmax", 1, 1, 1, {kFloats}, O::kFirst, {kLastAxis}, softmax},
      {"", "Split", 2, 2, 1 << 20, {kAny, kInt64s}, O::kFirst, {{"axis", K::kInteger, 0}}, split},
      {"", "Sqrt", 1, 1, 1, {kFloats}, O::kFirst, {}, ops::sqrt},
      {"", "Squeeze", 1, 2, 1, {kAny, kInt64s}, O::kFirst, {}, squeeze},
      {"", "Sub", 2, 2, 1, {kNumbers}, O::kFirst, {}, sub},
      {"", "Tanh", 1, 1, 1, {kFloats}, O::kFirst, {}, ops::tanh},
      {"",
       "TopK",
       2,
       2,
       2,
       {kFloats | kInt64s, kInt64s},
       O::kTopK,
       {kLastAxis, {"largest", K::kInteger, 1}, {"sorted", K::kInteger, 1}},
       top_k},
      {"", "Transpose", 1, 1, 1, {kAny}, O::kFirst, {{"perm", K::kIntegers}}, transpose},
      {"", "Unsqueeze", 2, 2, 1, {kAny, kInt64s}, O::kFirst, {}, unsqueeze},
      {"", "Where", 3, 3, 1, {kBools, kAny}, O::kSecond, {}, where},
      {kMicrosoft, "FastGelu", 1, 1, 1, {kFloats}, O::kFirst, {}, fast_gelu},
      {kMicrosoft, "Gelu", 1, 1, 1, {kFloats}, O::kFirst, {}, gelu},
      {kMicrosoft,
       "GroupQueryAttention",
       7,
       9,
       3,
       {kFloats, kFloats, kFloats, kFloats, kFloats, kInt32s, kInt32s, kFloats, kFloats},
       O::kFirst,
       {{"num_heads", K::kInteger, 0},
        {"kv_num_heads", K::kInteger, 0},
        {"do_rotary", K::kInteger, 0},
        {"rotary_interleaved", K::kInteger, 0},
        {"scale", K::kNumber, 0, 0.0F}},
       group_query_attention},
      {kMicrosoft,
       "MatMulBnb4",
       3,
       3,
       1,
       {kFloats, kBytes, kFloats},
       O::kFirst,
       {{"K", K::kInteger, 0},
        {"N", K::kInteger, 0},
        {"block_size", K::kInteger, 0},
        {"quant_type", K::kInteger, 0}},
       matmul_bnb4},
      {kMicrosoft,
       "MatMulNBits",
       3,
       6,
       1,
       {kFloats, kBytes, kFloats, kBytes, kInt32s, kFloats},
       O::kFirst,
       {{"K", K::kInteger, 0},
        {"N", K::kInteger, 0},
        {"bits", K::kInteger, 4},
        {"block_size", K::kInteger, 0},
        {"accuracy_level", K::kInteger, 0}},
       matmul_nbits},
      {kMicrosoft,
       "MultiHeadAttention",
       3,
       6,
       1,
       {kFloats},
       O::kFirst,
       {{"num_heads", K::kInteger, 0}, {"scale", K::kNumber, 0, 0.0F}},
       multi_head_attention},
      {kMicrosoft,
       "QuickGelu",
       1,
       1,
       1,
       {kFloats},
       O::kFirst,
       {{"alpha", K::kNumber, 0, 1.702F}},
       quick_gelu},
      {kMicrosoft,
       "SkipSimplifiedLayerNormalization",
       3,
       3,
       4,
       {kFloats},
       O::kFirst,
       {{"epsilon", K::kNumber, 0, 1e-12F}},
       skip_rms_norm},
  };
  return table;
}

}  // namespace

std::span<const OpRow> op_table() {
  return rows();
}

const OpRow* find_op(const std::string& domain, const std::string& name) {
  for (const OpRow& row : rows()) {
    if (domain == row.domain && name == row.name) {
      return &row;
    }
  }
  return nullptr;
}

void Call::bad(const std::string& what) const {
  refuse(Problem::kRun, "node " + node.name + " (" + node.row->name + "): " + what);
}

int Call::axis(int64_t axis, int rank) const {
  const int64_t at = axis < 0 ? axis + rank : axis;
  if (at < 0 || at >= rank) {
    bad("axis " + std::to_string(axis) + " of " + std::to_string(rank) + " dimensions");
  }
  return static_cast<int>(at);
}

std::vector<int64_t> Call::list(int index) const {
  const Tensor& tensor = in(index);
  require(tensor.dims().rank() <= 1, "a list of more than one dimension");
  std::vector<int64_t> values(static_cast<size_t>(tensor.count()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = tensor.type() == Type::kI64 ? tensor.integers()[i] : tensor.as<int32_t>()[i];
  }
  return values;
}

}  // namespace lorapress::engine
