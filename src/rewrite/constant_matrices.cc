#include "rewrite/constant_matrices.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "graph/read_tensors.h"
#include "graph/write.h"
#include "rewrite/float16_ops.h"
#include "rewrite/products.h"

namespace lorapress {
namespace {

// Operators that use a matrix's values elementwise, where quantization saves no time.
constexpr std::array<std::string_view, 16> kBeside = {"BatchNormalization",
                                                      "BiasAdd",
                                                      "BiasGelu",
                                                      "Clip",
                                                      "GroupNormalization",
                                                      "InstanceNormalization",
                                                      "LayerNormalization",
                                                      "Max",
                                                      "Min",
                                                      "Mod",
                                                      "PRelu",
                                                      "Pow",
                                                      "RMSNormalization",
                                                      "ScatterElements",
                                                      "ScatterND",
                                                      "Where"};

bool stands_beside(const onnx::NodeProto& node, int input) {
  const std::string& op = node.op_type();
  const bool bias = input == 2 && (op == "Gemm" || op == "Conv");
  return bias || is_arithmetic(node) || compares(node) ||
         std::ranges::find(kBeside, op) != kBeside.end() || op.starts_with("Skip") ||
         (op == "MultiHeadAttention" && input > 2) || (op == "Attention" && input > 1);
}

bool is_matrix(const Weight& weight) {
  const auto wide = std::ranges::count_if(weight.shape(), [](int64_t dim) { return dim > 1; });
  return dtype_row(weight.dtype()).is_float && wide >= 2 && weight.bytes() >= kSmallTensor;
}

// The reason for a weight with more than two dimensions.
std::string stacked(const Shape& shape) {
  int64_t count = 1;
  for (size_t i = 0; i + 2 < shape.size(); ++i) {
    count *= shape[i];
  }
  return count == 1 ? "one of a stack whose left side has an unknown rank"
                    : fmt::format("a stack of {} matrices", count);
}

bool is_product_of_matrices(const onnx::NodeProto& node) {
  const std::string& op = node.op_type();
  return (is_standard(node) && (op == "MatMul" || op == "Gemm")) ||
         (node.domain() == kMicrosoftDomain && op == "FusedMatMul");
}

bool turns_left(const onnx::NodeProto& node) {
  constexpr std::array<std::string_view, 3> kFlags = {"transA", "transBatchA", "transBatchB"};
  return std::ranges::any_of(
      kFlags, [&](std::string_view flag) { return integer_attribute(node, flag, 0) != 0; });
}

bool has_rank(const Rewriter& graph, const std::string& name) {
  const auto type = graph.type(name);
  return type && type->has_shape;
}

bool is_vector(const Rewriter& graph, const std::string& name) {
  return has_rank(graph, name) && graph.type(name)->type.dims.size() < 2;
}

bool is_float_matrix(const Rewriter& graph, const std::string& name) {
  const WeightPtr weight = graph.weight(name);
  return weight && weight->shape().size() == 2 &&
         (weight->dtype() == DType::kF32 || weight->dtype() == DType::kF16);
}

std::string of_product(const Rewriter& graph, const onnx::NodeProto& node, int input) {
  if (input == 0) {
    return "the constant is on the left";
  }
  const WeightPtr weight = graph.weight(node.input(input));
  if (weight && weight->shape().size() != 2) {
    return stacked(weight->shape());
  }
  if (is_vector(graph, node.input(0))) {
    return "a vector is on the left";
  }
  if (turns_left(node)) {
    return fmt::format("{} transposes its left side", node.op_type());
  }
  return graph.weight(node.input(0)) ? "both sides are constants" : "";
}

std::string of_lookup(const Rewriter& graph, const onnx::NodeProto& node, int input) {
  return input != 0                                ? "read by Gather as indices"
         : integer_attribute(node, "axis", 0) != 0 ? "looked up along another axis than the first"
         : graph.weight(node.input(0)) && graph.weight(node.input(0))->shape().size() != 2
             ? "a table of more than two dimensions"
         : !has_rank(graph, node.input(1)) ? "looked up by indices of unknown rank"
                                           : "";
}

// Why this input of the node prevents quantization; empty where it does not.
std::string reason_of(const Rewriter& graph, const onnx::NodeProto& node, int input) {
  const std::string& op = node.op_type();
  if (is_product_of_matrices(node)) {
    return of_product(graph, node, input);
  }
  if (is_standard(node) && op == "Gather") {
    return of_lookup(graph, node, input);
  }
  if (node.domain() == kMicrosoftDomain && op == "Attention" && input == 1) {
    return attention_obstacle(graph, node);
  }
  return "read by " + op;
}

}  // namespace

std::optional<MatrixUse> matrix_use(const Rewriter& graph, const onnx::NodeProto& node) {
  using Kind = MatrixUse::Kind;
  if (node.input_size() < 2) {
    return std::nullopt;
  }
  if (is_product_of_matrices(node)) {
    if (turns_left(node) || !is_float_matrix(graph, node.input(1)) || graph.weight(node.input(0))) {
      return std::nullopt;
    }
    const bool rows = node.op_type() != "MatMul" && integer_attribute(node, "transB", 0) != 0;
    return MatrixUse{Kind::kProduct, node.input(1), rows, is_vector(graph, node.input(0))};
  }
  if (!is_standard(node) || node.op_type() != "Gather" || !is_float_matrix(graph, node.input(0)) ||
      integer_attribute(node, "axis", 0) != 0) {
    return std::nullopt;
  }
  const std::string& ids = node.input(1);
  const bool constant = graph.weight(ids) != nullptr;
  return MatrixUse{Kind::kLookup, node.input(0), true, false, !has_rank(graph, ids), constant};
}

ConstantMatrices::ConstantMatrices(const Rewriter& graph, const SchemeOptions& options)
    : graph_(graph), options_(options) {
  graph.for_each_node([&](const onnx::NodeProto& node) {
    count(node);
    for (int i = 0; i < node.input_size(); ++i) {
      if (!node.input(i).empty()) {
        examine(node, i);
      }
    }
  });
  for (auto& [name, matrix] : reasons_) {
    if (matrix.reason.empty() && graph.is_graph_output(name)) {
      matrix.reason = "an output gives it";
    }
  }
  for (auto& [name, matrix] : uses_) {
    matrix.replaceable = matrix.replaceable && !excluded(options, name) &&
                         matrix.products + matrix.lookups == graph.uses(name);
  }
}

void ConstantMatrices::count(const onnx::NodeProto& node) {
  const auto use = matrix_use(graph_, node);
  if (!use || use->vector_left || excluded(options_, node.name())) {
    return;
  }
  const auto [at, added] = uses_.try_emplace(use->weight);
  ConstantMatrix& matrix = at->second;
  if (added) {
    matrix.weight = graph_.weight(use->weight);
    matrix.rows_are_outputs = use->rows_are_outputs;
    matrix.replaceable = true;
  }
  matrix.replaceable = matrix.replaceable && matrix.rows_are_outputs == use->rows_are_outputs;
  ++(use->kind == MatrixUse::Kind::kLookup ? matrix.lookups : matrix.products);
  matrix.unranked_indices = matrix.unranked_indices || use->unranked_indices;
  matrix.constant_indices = matrix.constant_indices || use->constant_indices;
}

void ConstantMatrices::examine(const onnx::NodeProto& node, int input) {
  const std::string& name = node.input(input);
  const WeightPtr weight = graph_.any_weight(name);
  if (!weight || !is_matrix(*weight)) {
    return;
  }
  const bool beside = stands_beside(node, input);
  if (beside && !reasons_.contains(name)) {
    beside_[name] = node.op_type();
    return;
  }
  const std::string label = shown(node.name().empty() ? name : node.name());
  const auto [at, added] = reasons_.try_emplace(name, KeptMatrix{label, ""});
  KeptMatrix& matrix = at->second;
  if (added && beside_.contains(name)) {
    matrix.reason = fmt::format("read by {}, too", beside_[name]);
  }
  if (!matrix.reason.empty()) {
    return;
  }
  const DType dtype = weight->dtype();
  matrix.reason =
      graph_.has_default(name) ? "inputs that callers may feed, unless options.freeze_inputs"
      : excluded(options_, name) || excluded(options_, node.name()) ? "options.exclude"
      : dtype != DType::kF32 && dtype != DType::kF16 ? fmt::format("of {}", dtype_name(dtype))
      : beside ? fmt::format("read by {}, too", node.op_type())
               : reason_of(graph_, node, input);
  if (!matrix.reason.empty()) {
    matrix.name = label;
  }
}

void ConstantMatrices::add_reason(const std::string& weight, std::string reason) {
  const auto found = reasons_.find(weight);
  if (found != reasons_.end() && found->second.reason.empty()) {
    found->second.reason = std::move(reason);
  }
}

}  // namespace lorapress
