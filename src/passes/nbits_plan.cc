#include "passes/nbits_plan.h"

#include <algorithm>

#include "graph/model_proto.h"

namespace lorapress {
namespace {

using Kind = MatrixUse::Kind;

WeightPtr float_matrix(const Rewriter& graph, const std::string& name) {
  WeightPtr weight = graph.weight(name);
  const bool fits = weight && weight->shape().size() == 2 &&
                    (weight->dtype() == DType::kF32 || weight->dtype() == DType::kF16);
  return fits ? weight : nullptr;
}

bool is_vector(const Rewriter& graph, const std::string& name) {
  const auto type = graph.type(name);
  return type && type->has_shape && type->type.dims.size() < 2;
}

bool has_rank(const Rewriter& graph, const std::string& name) {
  const auto type = graph.type(name);
  return type && type->has_shape;
}

bool excluded(const SchemeOptions& options, const std::string& name) {
  return std::ranges::find(options.exclude, name) != options.exclude.end();
}

// Whether quantized blocks take less than half the bytes.
bool worth_it(const Weight& matrix, int64_t block_size) {
  const int64_t blocks = (matrix.cols() + block_size - 1) / block_size;
  const auto quantized = static_cast<uint64_t>(
      matrix.rows() * blocks * (block_size / 2 + static_cast<int64_t>(dtype_size(matrix.dtype()))));
  return matrix.rows() * matrix.cols() >= 2 * block_size && quantized * 2 < matrix.bytes();
}

struct Readers {
  size_t products = 0;
  size_t lookups = 0;
  bool rows_are_outputs = false;
  bool mixed = false;
};

}  // namespace

std::optional<MatrixUse> matrix_use(const Rewriter& graph, const onnx::NodeProto& node) {
  if (!node.domain().empty() && node.domain() != "ai.onnx") {
    return std::nullopt;
  }
  if (node.op_type() == "MatMul" && node.input_size() == 2 && float_matrix(graph, node.input(1)) &&
      !graph.weight(node.input(0)) && !is_vector(graph, node.input(0))) {
    return MatrixUse{Kind::kMatMul, node.input(1), false};
  }
  if (node.op_type() == "Gemm" && node.input_size() >= 2 && float_matrix(graph, node.input(1)) &&
      !graph.weight(node.input(0)) && integer_attribute(node, "transA", 0) == 0) {
    return MatrixUse{Kind::kGemm, node.input(1), integer_attribute(node, "transB", 0) != 0};
  }
  if (node.op_type() == "Gather" && node.input_size() == 2 && float_matrix(graph, node.input(0)) &&
      !graph.weight(node.input(1)) && integer_attribute(node, "axis", 0) == 0 &&
      has_rank(graph, node.input(1))) {
    return MatrixUse{Kind::kGather, node.input(0), true};
  }
  return std::nullopt;
}

std::map<std::string, PlannedMatrix> plan_matrices(const Rewriter& graph,
                                                   const SchemeOptions& options) {
  std::map<std::string, Readers> readers;
  graph.for_each_node([&](const onnx::NodeProto& node) {
    const auto use = matrix_use(graph, node);
    if (!use || excluded(options, node.name()) || excluded(options, use->weight)) {
      return;
    }
    Readers& found = readers[use->weight];
    if (found.products + found.lookups != 0 && found.rows_are_outputs != use->rows_are_outputs) {
      found.mixed = true;
    }
    found.rows_are_outputs = use->rows_are_outputs;
    ++(use->kind == Kind::kGather ? found.lookups : found.products);
  });
  std::map<std::string, PlannedMatrix> planned;
  for (const auto& [name, found] : readers) {
    WeightPtr matrix = graph.weight(name);
    if (!found.rows_are_outputs) {
      matrix = transpose(matrix);
    }
    const bool all = found.products + found.lookups == graph.uses(name);
    const bool table = found.products != 0 || matrix->rows() >= 2 * matrix->cols();
    if (all && !found.mixed && table && worth_it(*matrix, options.block_size)) {
      planned[name] = {std::move(matrix), found.lookups != 0, found.products != 0};
    }
  }
  return planned;
}

std::shared_ptr<const ErrorFeedback> feedback_of(const SchemeContext& context,
                                                 const std::string& weight) {
  if (context.statistics == nullptr) {
    return nullptr;
  }
  const auto found = context.statistics->find(weight);
  return found == context.statistics->end() ? nullptr : found->second;
}

void declare_value(Model& model, const std::string& name, const TensorType& type) {
  auto* info = model.proto.mutable_graph()->add_value_info();
  info->set_name(name);
  set_type(type, info->mutable_type());
}

void emit_gemm(Rewriter& graph,
               const onnx::NodeProto& node,
               const std::function<void(const std::string&)>& product,
               NodeList& nodes) {
  const float alpha = float_attribute(node, "alpha", 1.0F);
  const float beta = float_attribute(node, "beta", 1.0F);
  const DType dtype = graph.weight(node.input(1))->dtype();
  const std::string& name = node.name().empty() ? node.output(0) : node.name();
  const auto factor = [&](float value) {
    return dtype == DType::kF32
               ? graph.scalar(value)
               : graph.add_weight(name + "/factor", cast(float_constant({}, {&value, 1}), dtype));
  };
  const auto made = [&](const std::string& suffix) {
    std::string value = graph.unique(name + suffix);
    declare_value(graph.model(), value, {dtype, {Dim(), Dim()}});
    return value;
  };
  const bool biased = node.input_size() > 2 && !node.input(2).empty() && beta != 0.0F;
  std::string last = alpha == 1.0F && !biased ? node.output(0) : made("/product");
  product(last);
  if (alpha != 1.0F) {
    const std::string scaled = biased ? made("/scaled") : node.output(0);
    nodes.push_back(
        make_node("Mul", graph.unique(name + "/Mul_alpha"), {last, factor(alpha)}, {scaled}));
    last = scaled;
  }
  if (biased) {
    std::string bias = node.input(2);
    if (beta != 1.0F) {
      bias = graph.unique(name + "/bias");
      nodes.push_back(make_node(
          "Mul", graph.unique(name + "/Mul_beta"), {node.input(2), factor(beta)}, {bias}));
    }
    nodes.push_back(make_node("Add", graph.unique(name + "/Add"), {last, bias}, {node.output(0)}));
  }
}

}  // namespace lorapress
