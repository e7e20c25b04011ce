#include "schemes/nbits_plan.h"

#include <algorithm>
#include <cmath>

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
  const std::string& op = node.op_type();
  const bool standard = node.domain().empty() || node.domain() == "ai.onnx";
  const bool fused = node.domain() == kMicrosoftDomain && op == "FusedMatMul";
  if ((fused || (standard && (op == "MatMul" || op == "Gemm"))) && node.input_size() >= 2) {
    const auto flag = [&](std::string_view name) { return integer_attribute(node, name, 0) != 0; };
    const bool plain = !flag("transA") && !flag("transBatchA") && !flag("transBatchB");
    return plain && float_matrix(graph, node.input(1)) && !graph.weight(node.input(0)) &&
                   !is_vector(graph, node.input(0))
               ? std::optional(
                     MatrixUse{Kind::kProduct, node.input(1), op != "MatMul" && flag("transB")})
               : std::nullopt;
  }
  if (standard && op == "Gather" && node.input_size() == 2 && float_matrix(graph, node.input(0)) &&
      !graph.weight(node.input(1)) && integer_attribute(node, "axis", 0) == 0 &&
      has_rank(graph, node.input(1))) {
    return MatrixUse{Kind::kGather, node.input(0), true};
  }
  return std::nullopt;
}

std::map<std::string, PlannedMatrix> plan_matrices(const Rewriter& graph,
                                                   const SchemeOptions& options,
                                                   MatrixCensus& census) {
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
    if (!table) {
      census.because(name, "a table of less than twice as many rows as columns");
    } else if (!worth_it(*matrix, options.block_size)) {
      census.because(name, "blocks would not make it half as small");
    } else if (all && !found.mixed) {
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

namespace {

// Whether a factor keeps its value, but for the last bits.
bool fits_half(float value) {
  const float size = std::fabs(value);
  return size == 0.0F || (size >= 0x1p-14F && size <= 65504.0F);
}

class ProductEmitter {
 public:
  ProductEmitter(Rewriter& graph, const onnx::NodeProto& node, DType made, NodeList& nodes)
      : graph_(graph),
        node_(node),
        made_(made),
        alpha_(float_attribute(node, "alpha", 1.0F)),
        beta_(float_attribute(node, "beta", 1.0F)),
        wanted_(graph.weight(node.input(1))->dtype()),
        inner_(fits_half(alpha_) && fits_half(beta_) ? made : DType::kF32),
        name_(node.name().empty() ? node.output(0) : node.name()),
        left_(graph.type(node.input(0))),
        nodes_(nodes) {}

  void run(const std::function<void(const std::string& output)>& product) {
    const bool biased = node_.input_size() > 2 && !node_.input(2).empty() && beta_ != 0.0F;
    steps_left_ = (inner_ != made_ ? 1 : 0) + (alpha_ != 1.0F ? 1 : 0) + (biased ? 1 : 0) +
                  (wanted_ != inner_ ? 1 : 0);
    std::string last = steps_left_ == 0 ? node_.output(0) : value("/product", made_);
    product(last);
    if (inner_ != made_) {
      last = step("Cast", "/Cast_product", "/wide", inner_, {last}, to(inner_));
    }
    if (alpha_ != 1.0F) {
      last = step("Mul", "/Mul_alpha", "/scaled", inner_, {last, factor(alpha_)});
    }
    if (biased) {
      const std::string c = bias();
      last = step("Add", "/Add", "/sum", inner_, {last, c});
    }
    if (wanted_ != inner_) {
      step("Cast", "/Cast_result", "", wanted_, {last}, to(wanted_));
    }
  }

 private:
  static Attributes to(DType dtype) { return {{"to", int64_t{dtype_row(dtype).onnx}}}; }

  std::string factor(float number) {
    return inner_ == DType::kF32
               ? graph_.scalar(number)
               : graph_.add_weight(name_ + "/factor",
                                   cast(float_constant({}, {&number, 1}), inner_));
  }

  std::string value(const std::string& suffix, DType dtype) {
    std::string made = graph_.unique(name_ + suffix);
    const bool gemm = node_.op_type() == "Gemm";
    if (gemm || (left_ && left_->has_shape)) {
      declare_value(graph_.model(), made, {dtype, Dims(gemm ? 2 : left_->type.dims.size())});
    }
    return made;
  }

  // The last one gives the node's own output.
  std::string step(std::string_view op,
                   const std::string& node_suffix,
                   const std::string& suffix,
                   DType dtype,
                   const std::vector<std::string>& inputs,
                   const Attributes& attributes = {}) {
    std::string output = --steps_left_ == 0 ? node_.output(0) : value(suffix, dtype);
    nodes_.push_back(
        make_node(op, graph_.unique(name_ + node_suffix), inputs, {output}, attributes));
    return output;
  }

  // beta * C, which has fewer dimensions than the product or as many.
  std::string bias() {
    std::string last = node_.input(2);
    const auto add = [&](std::string_view op,
                         const std::string& suffix,
                         const std::vector<std::string>& inputs,
                         const Attributes& attributes) {
      last = graph_.unique(name_ + suffix);
      nodes_.push_back(
          make_node(op, graph_.unique(name_ + suffix + "_node"), inputs, {last}, attributes));
    };
    if (wanted_ != inner_) {
      add("Cast", "/wide_bias", {last}, to(inner_));
    }
    if (beta_ != 1.0F) {
      add("Mul", "/bias", {last, factor(beta_)}, {});
    }
    return last;
  }

  Rewriter& graph_;
  const onnx::NodeProto& node_;
  DType made_;  // the type of the product
  float alpha_;
  float beta_;
  DType wanted_;  // of the result
  DType inner_;   // in which factors and C are applied
  std::string name_;
  std::optional<DeclaredType> left_;
  NodeList& nodes_;
  int steps_left_ = 0;
};

}  // namespace

void emit_product(Rewriter& graph,
                  const onnx::NodeProto& node,
                  DType made,
                  const std::function<void(const std::string&)>& product,
                  NodeList& nodes) {
  ProductEmitter(graph, node, made, nodes).run(product);
}

}  // namespace lorapress
