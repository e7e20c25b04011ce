#include "schemes/matrix_census.h"

#include <algorithm>
#include <array>
#include <vector>

#include "graph/read_tensors.h"
#include "graph/write.h"
#include "rewrite/float16_ops.h"
#include "rewrite/products.h"

namespace lorapress {
namespace {

// They read a matrix as numbers beside others, and rounding those saves nothing in time.
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

// Of a weight with more than two dimensions.
std::string stacked(const Shape& shape) {
  int64_t count = 1;
  for (size_t i = 0; i + 2 < shape.size(); ++i) {
    count *= shape[i];
  }
  return count == 1 ? "one of a stack whose left side has an unknown rank"
                    : fmt::format("a stack of {} matrices", count);
}

std::string of_product(const Rewriter& graph, const onnx::NodeProto& node, int input) {
  if (input == 0) {
    return "the constant is on the left";
  }
  const WeightPtr weight = graph.weight(node.input(input));
  if (weight && weight->shape().size() != 2) {
    return stacked(weight->shape());
  }
  const auto left = graph.type(node.input(0));
  if (left && left->has_shape && left->type.dims.size() < 2) {
    return "a vector is on the left";
  }
  for (const char* turned : {"transA", "transBatchA", "transBatchB"}) {
    if (integer_attribute(node, turned, 0) != 0) {
      return fmt::format("{} turns its left side", node.op_type());
    }
  }
  return graph.weight(node.input(0)) ? "both sides are constants" : "";
}

std::string of_lookup(const Rewriter& graph, const onnx::NodeProto& node, int input) {
  const auto ids = graph.type(node.input(1));
  return input != 0                                ? "read by Gather as indices"
         : integer_attribute(node, "axis", 0) != 0 ? "looked up along another axis than the first"
         : graph.weight(node.input(0)) && graph.weight(node.input(0))->shape().size() != 2
             ? "a table of more than two dimensions"
         : !ids || !ids->has_shape ? "looked up by indices of unknown rank"
                                   : "";
}

// Why the node speaks against quantizing what it reads; empty where nothing does.
std::string reason_of(const Rewriter& graph, const onnx::NodeProto& node, int input) {
  const std::string& op = node.op_type();
  const bool microsoft = node.domain() == kMicrosoftDomain;
  if ((is_standard(node) && (op == "MatMul" || op == "Gemm")) ||
      (microsoft && op == "FusedMatMul")) {
    return of_product(graph, node, input);
  }
  if (is_standard(node) && op == "Gather") {
    return of_lookup(graph, node, input);
  }
  if (microsoft && op == "Attention" && input == 1) {
    return attention_obstacle(graph, node);
  }
  return "read by " + op;
}

}  // namespace

MatrixCensus::MatrixCensus(const Rewriter& graph, const SchemeOptions& options)
    : options_(options) {
  graph.for_each_node([&](const onnx::NodeProto& node) {
    for (int i = 0; i < node.input_size(); ++i) {
      if (!node.input(i).empty()) {
        look_at(graph, node, i);
      }
    }
  });
  for (auto& [name, matrix] : matrices_) {
    if (matrix.reason.empty() && graph.is_graph_output(name)) {
      matrix.reason = "an output gives it";
    }
  }
}

void MatrixCensus::look_at(const Rewriter& graph, const onnx::NodeProto& node, int input) {
  const std::string& name = node.input(input);
  const WeightPtr weight = graph.any_weight(name);
  if (!weight || !is_matrix(*weight)) {
    return;
  }
  const bool beside = stands_beside(node, input);
  if (beside && !matrices_.contains(name)) {
    beside_[name] = node.op_type();
    return;
  }
  const auto excluded = [&](const std::string& what) {
    return std::ranges::find(options_.exclude, what) != options_.exclude.end();
  };
  const std::string label = shown(node.name().empty() ? name : node.name());
  const auto [at, added] = matrices_.try_emplace(name, Matrix{label, ""});
  Matrix& matrix = at->second;
  if (added && beside_.contains(name)) {
    matrix.reason = fmt::format("read by {}, too", beside_[name]);
  }
  if (!matrix.reason.empty()) {
    return;
  }
  const DType dtype = weight->dtype();
  matrix.reason = graph.has_default(name) ? "inputs that callers may feed, unless --freeze-inputs"
                  : excluded(name) || excluded(node.name()) ? "--exclude"
                  : dtype != DType::kF32 && dtype != DType::kF16
                      ? fmt::format("of {}", dtype_name(dtype))
                  : beside ? fmt::format("read by {}, too", node.op_type())
                           : reason_of(graph, node, input);
  if (!matrix.reason.empty()) {
    matrix.label = label;
  }
}

void MatrixCensus::because(const std::string& weight, std::string reason) {
  const auto found = matrices_.find(weight);
  if (found != matrices_.end() && found->second.reason.empty()) {
    found->second.reason = std::move(reason);
  }
}

void MatrixCensus::tell(const SchemeContext& context,
                        std::string_view form,
                        const std::set<std::string>& quantized) const {
  if (context.outcome == nullptr) {
    return;
  }
  SchemeOutcome& outcome = *context.outcome;
  outcome.form = form;
  outcome.changed = !quantized.empty();
  outcome.quantized = static_cast<int64_t>(quantized.size());
  for (const auto& [name, matrix] : matrices_) {
    if (!quantized.contains(name)) {
      const std::string& reason = matrix.reason;
      outcome.kept.push_back({matrix.label, reason.empty() ? "read both ways round" : reason});
    }
  }
}

std::string describe_kept(const SchemeOutcome& outcome) {
  constexpr size_t kMost = 20;  // names to one reason
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const KeptMatrix& kept : outcome.kept) {
    by_reason[kept.reason].push_back(kept.name);
  }
  std::vector<std::string> groups;
  for (auto& [reason, names] : by_reason) {
    const size_t more = names.size() - std::min(names.size(), kMost);
    names.resize(names.size() - more);
    groups.push_back(fmt::format("{}{} ({})",
                                 fmt::join(names, ", "),
                                 more == 0 ? "" : fmt::format(" and {} more", more),
                                 reason));
  }
  return fmt::format("{}", fmt::join(groups, "; "));
}

}  // namespace lorapress
