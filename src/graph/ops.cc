#include "graph/ops.h"

#include <algorithm>
#include <array>

#include "base/fail.h"
#include "graph/op_rules.h"

namespace lorapress {

namespace op_rules {

void bad(std::string_view what) {
  fail(ErrorCode::kInvalidArgument, "{}", what);
}

size_t axis_of(int64_t axis, size_t rank) {
  const int64_t wrapped = axis < 0 ? axis + static_cast<int64_t>(rank) : axis;
  if (wrapped < 0 || wrapped >= static_cast<int64_t>(rank)) {
    bad(fmt::format("axis {} of a tensor of rank {}", axis, rank));
  }
  return static_cast<size_t>(wrapped);
}

}  // namespace op_rules

namespace {

using namespace op_rules;

Dim multiply(const Dim& a, const Dim& b) {
  return a.known() && b.known() ? Dim(a.value * b.value)
         : a == Dim(1)          ? b
         : b == Dim(1)          ? a
                                : Dim();
}

Dim add(const Dim& a, const Dim& b) {
  return a.known() && b.known() ? Dim(a.value + b.value) : Dim();
}

// Numpy broadcasting, https://github.com/onnx/onnx/blob/main/docs/Broadcasting.md
Dims broadcast(const Dims& a, const Dims& b) {
  Dims out(std::max(a.size(), b.size()));
  for (size_t i = 0; i < out.size(); ++i) {
    const Dim left = i < a.size() ? a[a.size() - 1 - i] : Dim(1);
    const Dim right = i < b.size() ? b[b.size() - 1 - i] : Dim(1);
    if (left.known() && right.known() && left != right && left != Dim(1) && right != Dim(1)) {
      bad(fmt::format("dimensions {} and {} do not broadcast", left.value, right.value));
    }
    out[out.size() - 1 - i] = left == Dim(1)                    ? right
                              : right == Dim(1) || left.known() ? left
                              : right.known()                   ? right
                                                                : left;
  }
  return out;
}

Types same_as_first(const OpContext& op) {
  return {op.input(0).type};
}

Types elementwise(const OpContext& op) {
  if (op.input(0).type.dtype != op.input(1).type.dtype) {
    bad(fmt::format(
        "operands {} and {}", to_string(op.input(0).type), to_string(op.input(1).type)));
  }
  return {{op.input(0).type.dtype, broadcast(op.input(0).type.dims, op.input(1).type.dims)}};
}

Types logical(const OpContext& op) {
  Types types = elementwise(op);
  if (types[0].dtype != DType::kBool) {
    bad(fmt::format("a {}, expected bool", dtype_name(types[0].dtype)));
  }
  return types;
}

Types comparison(const OpContext& op) {
  return {{DType::kBool, elementwise(op)[0].dims}};
}

Types where(const OpContext& op) {
  return {
      {op.input(1).type.dtype,
       broadcast(op.input(0).type.dims, broadcast(op.input(1).type.dims, op.input(2).type.dims))}};
}

Types matmul(const OpContext& op) {
  Dims a = op.input(0).type.dims;
  Dims b = op.input(1).type.dims;
  if (a.size() < 2 || b.size() < 2 || op.input(0).type.dtype != op.input(1).type.dtype) {
    bad(fmt::format(
        "MatMul of {} and {}", to_string(op.input(0).type), to_string(op.input(1).type)));
  }
  const Dim inner_a = a.back();
  const Dim inner_b = b[b.size() - 2];
  if (inner_a.known() && inner_b.known() && inner_a != inner_b) {
    bad(fmt::format(
        "MatMul of {} and {}", to_string(op.input(0).type), to_string(op.input(1).type)));
  }
  const Dim rows = a[a.size() - 2];
  const Dim cols = b.back();
  a.resize(a.size() - 2);
  b.resize(b.size() - 2);
  Dims out = broadcast(a, b);
  out.push_back(rows);
  out.push_back(cols);
  return {{op.input(0).type.dtype, std::move(out)}};
}

Types gemm(const OpContext& op) {
  const Dims& a = op.input(0).type.dims;
  const Dims& b = op.input(1).type.dims;
  const bool transposed = op.integer("transB", 0) != 0;
  if (a.size() != 2 || b.size() != 2 || a[1] != b[transposed ? 1 : 0]) {
    bad(fmt::format("Gemm of {} and {}", to_string(op.input(0).type), to_string(op.input(1).type)));
  }
  return {{op.input(0).type.dtype, {a[0], b[transposed ? 0 : 1]}}};
}

Types reshape(const OpContext& op) {
  const TensorType& from = op.input(0).type;
  if (!op.input(1).constant) {
    return {{from.dtype, Dims(static_cast<size_t>(op.input(1).type.dims.at(0).value))}};
  }
  Dims dims;
  Dim left(1);   // product of the source dims not yet matched by a target dim
  Dim right(1);  // product of the target dims
  for (const int64_t size : *op.input(1).constant) {
    if (size == 0) {
      dims.push_back(from.dims.at(dims.size()));
    } else {
      dims.push_back(size < 0 ? Dim("?") : Dim(size));
    }
  }
  for (const Dim& dim : from.dims) {
    if (dim.known() || std::ranges::count(dims, dim) == 0) {
      left = multiply(left, dim);
    }
  }
  for (const Dim& dim : dims) {
    if (dim.known()) {
      right = multiply(right, dim);
    }
  }
  for (Dim& dim : dims) {
    if (dim == Dim("?")) {
      dim = left.known() && right.value > 0 && left.value % right.value == 0
                ? Dim(left.value / right.value)
            : right == Dim(1) ? left
                              : Dim();
    }
  }
  return {{from.dtype, std::move(dims)}};
}

Types transpose(const OpContext& op) {
  TensorType type{op.input(0).type.dtype, {}};
  const auto* perm = op.integers("perm");
  if (perm == nullptr || perm->size() != op.input(0).type.dims.size()) {
    bad("Transpose without a perm of its input's rank");
  }
  for (const int64_t axis : *perm) {
    type.dims.push_back(op.input(0).type.dims.at(static_cast<size_t>(axis)));
  }
  return {type};
}

Types concat(const OpContext& op) {
  TensorType type = op.input(0).type;
  const size_t axis = axis_of(op.integer("axis", 0), type.dims.size());
  for (size_t i = 1; i < op.inputs.size(); ++i) {
    type.dims[axis] = add(type.dims[axis], op.input(i).type.dims.at(axis));
  }
  return {type};
}

Types slice(const OpContext& op) {
  TensorType type = op.input(0).type;
  const auto& axes = op.input(3).constant;
  if (!axes) {
    bad("Slice with axes that are not constant");
  }
  for (const int64_t axis : *axes) {
    type.dims[axis_of(axis, type.dims.size())] = Dim();
  }
  return {type};
}

Types gather(const OpContext& op) {
  const size_t axis = axis_of(op.integer("axis", 0), op.input(0).type.dims.size());
  Dims dims(op.input(0).type.dims.begin(),
            op.input(0).type.dims.begin() + static_cast<ptrdiff_t>(axis));
  const Dims& indices = op.input(1).type.dims;
  dims.insert(dims.end(), indices.begin(), indices.end());
  dims.insert(dims.end(),
              op.input(0).type.dims.begin() + static_cast<ptrdiff_t>(axis) + 1,
              op.input(0).type.dims.end());
  return {{op.input(0).type.dtype, std::move(dims)}};
}

Types gather_elements(const OpContext& op) {
  return {{op.input(0).type.dtype, op.input(1).type.dims}};
}

Types shape(const OpContext& op) {
  return {{DType::kI64, {Dim(static_cast<int64_t>(op.input(0).type.dims.size()))}}};
}

Types unsqueeze(const OpContext& op) {
  TensorType type = op.input(0).type;
  for (const int64_t axis : op.input(1).constant.value_or(std::vector<int64_t>{0})) {
    type.dims.insert(
        type.dims.begin() + static_cast<ptrdiff_t>(axis_of(axis, type.dims.size() + 1)), Dim(1));
  }
  return {type};
}

Types squeeze(const OpContext& op) {
  TensorType type = op.input(0).type;
  std::vector<int64_t> axes = op.input(1).constant.value_or(std::vector<int64_t>{0});
  std::ranges::sort(axes, std::greater{});
  for (const int64_t axis : axes) {
    type.dims.erase(type.dims.begin() + static_cast<ptrdiff_t>(axis_of(axis, type.dims.size())));
  }
  return {type};
}

Types cast(const OpContext& op) {
  const auto dtype = dtype_from_onnx(static_cast<int>(op.integer("to", 1)));
  return {{dtype.value(), op.input(0).type.dims}};
}

Types range(const OpContext& op) {
  return {{op.input(0).type.dtype, {Dim()}}};
}

// Where the shape is computed, only the dims that cannot broadcast are known.
Types expand(const OpContext& op) {
  TensorType type{op.input(0).type.dtype,
                  Dims(static_cast<size_t>(op.input(1).type.dims.at(0).value))};
  const Dims& from = op.input(0).type.dims;
  for (size_t i = 0; i < std::min(from.size(), type.dims.size()); ++i) {
    const Dim& dim = from[from.size() - 1 - i];
    type.dims[type.dims.size() - 1 - i] = dim.known() && dim != Dim(1) ? dim : Dim();
  }
  return {type};
}

// The places of what is not 0, one a column.
Types non_zero(const OpContext& op) {
  const auto rank = static_cast<int64_t>(op.input(0).type.dims.size());
  return {{DType::kI64, {Dim(rank), Dim()}}};
}

// Convolution without padding: patches.
Types conv(const OpContext& op) {
  const Dims& image = op.input(0).type.dims;
  const Dims& kernel = op.input(1).type.dims;
  const auto* strides = op.integers("strides");
  Dims dims{image.at(0), kernel.at(0)};
  for (size_t i = 2; i < image.size(); ++i) {
    const Dim& size = image[i];
    const int64_t stride = strides == nullptr ? 1 : strides->at(i - 2);
    dims.push_back(size.known() ? Dim((size.value - kernel.at(i).value) / stride + 1) : Dim());
  }
  return {{op.input(0).type.dtype, std::move(dims)}};
}

// onnxruntime/docs/ContribOperators.md: output, mean, inv_std_var, input + skip.
Types skip_norm(const OpContext& op) {
  return {op.input(0).type, {DType::kF32, {}}, {DType::kF32, {}}, op.input(0).type};
}

// query [batch, sequence, num_heads * head_dim], or packed with keys and values behind the heads;
// past_key [batch, kv_num_heads, past, head_dim] -> output, present_key, present_value.
Types group_query_attention(const OpContext& op) {
  const TensorType& query = op.input(0).type;
  const TensorType& past = op.input(3).type;
  const int64_t width = op.integer("num_heads", 0) * past.dims.at(3).value;
  TensorType present = past;
  present.dims[2] = Dim("total_sequence_length");
  return {{query.dtype, {query.dims.at(0), query.dims.at(1), Dim(width)}}, present, present};
}

constexpr std::array kOps = {
    OpRow{"Abs", "", 13, same_as_first},
    OpRow{"Add", "", 14, elementwise},
    OpRow{"And", "", 7, logical},
    OpRow{"ArgMax", "", 13, arg_max},
    OpRow{"Cast", "", 13, cast},
    OpRow{"Concat", "", 13, concat},
    OpRow{"Conv", "", 11, conv},
    OpRow{"Cos", "", 7, same_as_first},
    OpRow{"CumSum", "", 14, same_as_first},
    OpRow{"Div", "", 14, elementwise},
    OpRow{"Equal", "", 13, comparison},
    OpRow{"Erf", "", 13, same_as_first},
    OpRow{"Expand", "", 13, expand},
    OpRow{"Floor", "", 13, same_as_first},
    OpRow{"Gather", "", 13, gather},
    OpRow{"GatherElements", "", 13, gather_elements},
    OpRow{"GatherND", "", 13, gather_nd},
    OpRow{"Gemm", "", 13, gemm},
    OpRow{"Greater", "", 13, comparison},
    OpRow{"If", "", 16, if_else},
    OpRow{"LayerNormalization", "", 17, same_as_first},
    OpRow{"Less", "", 13, comparison},
    OpRow{"LessOrEqual", "", 16, comparison},
    OpRow{"LogSoftmax", "", 13, same_as_first},
    OpRow{"Loop", "", 16, loop},
    OpRow{"MatMul", "", 13, matmul},
    OpRow{"Max", "", 13, elementwise},
    OpRow{"Min", "", 13, elementwise},
    OpRow{"Mod", "", 13, elementwise},
    OpRow{"Mul", "", 14, elementwise},
    OpRow{"NonZero", "", 13, non_zero},
    OpRow{"Not", "", 1, same_as_first},
    OpRow{"Or", "", 7, logical},
    OpRow{"Pow", "", 15, same_as_first},
    OpRow{"Range", "", 11, range},
    OpRow{"ReduceMax", "", 13, reduce},
    OpRow{"ReduceMean", "", 13, reduce},
    OpRow{"ReduceMin", "", 13, reduce},
    OpRow{"ReduceSum", "", 13, reduce},
    OpRow{"Relu", "", 14, same_as_first},
    OpRow{"Reshape", "", 14, reshape},
    OpRow{"ScatterElements", "", 16, same_as_first},
    OpRow{"Shape", "", 15, shape},
    OpRow{"Sigmoid", "", 13, same_as_first},
    OpRow{"Sin", "", 7, same_as_first},
    OpRow{"Slice", "", 13, slice},
    OpRow{"Softmax", "", 13, same_as_first},
    OpRow{"Split", "", 13, split},
    OpRow{"Sqrt", "", 13, same_as_first},
    OpRow{"Squeeze", "", 13, squeeze},
    OpRow{"Sub", "", 14, elementwise},
    OpRow{"Tanh", "", 13, same_as_first},
    OpRow{"TopK", "", 11, top_k},
    OpRow{"Transpose", "", 13, transpose},
    OpRow{"Unsqueeze", "", 13, unsqueeze},
    OpRow{"Where", "", 16, where},
    OpRow{"FastGelu", kMicrosoftDomain, 1, same_as_first},
    OpRow{"Gelu", kMicrosoftDomain, 1, same_as_first},
    OpRow{"GroupQueryAttention", kMicrosoftDomain, 1, group_query_attention},
    OpRow{"MultiHeadAttention", kMicrosoftDomain, 1, same_as_first},
    OpRow{"QuickGelu", kMicrosoftDomain, 1, same_as_first},
    OpRow{"SkipSimplifiedLayerNormalization", kMicrosoftDomain, 1, skip_norm},
};

}  // namespace

const OpInput& OpContext::input(size_t index) const {
  if (index >= inputs.size() || !inputs[index].present) {
    bad(fmt::format("input {} is missing", index));
  }
  return inputs[index];
}

int64_t OpContext::integer(std::string_view name, int64_t fallback) const {
  const auto found = std::ranges::find(attributes, name, &Attribute::name);
  return found == attributes.end() ? fallback : std::get<int64_t>(found->value);
}

const std::vector<int64_t>* OpContext::integers(std::string_view name) const {
  const auto found = std::ranges::find(attributes, name, &Attribute::name);
  return found == attributes.end() ? nullptr : &std::get<std::vector<int64_t>>(found->value);
}

const Body& OpContext::body() const {
  const auto found = std::ranges::find(attributes, "body", &Attribute::name);
  const auto* body = found == attributes.end() ? nullptr : std::get_if<BodyPtr>(&found->value);
  if (body == nullptr || !*body) {
    bad("the body is missing");
  }
  return **body;
}

const OpRow& op_row(std::string_view name) {
  const auto found = std::ranges::find(kOps, name, &OpRow::name);
  if (found == kOps.end()) {
    fail(ErrorCode::kUnsupported, "operator {} is not in the table of graph/ops.cc", name);
  }
  return *found;
}

std::span<const OpRow> op_table() {
  return kOps;
}

std::string to_string(const TensorType& type) {
  std::vector<std::string> dims;
  for (const Dim& dim : type.dims) {
    dims.push_back(dim.known() ? std::to_string(dim.value) : dim.symbol.empty() ? "?" : dim.symbol);
  }
  return fmt::format("{}[{}]", dtype_name(type.dtype), fmt::join(dims, ", "));
}

}  // namespace lorapress
