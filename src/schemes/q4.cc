#include "schemes/q4.h"

#include "quant/nbits.h"
#include "rewrite/emit_product.h"
#include "rewrite/patchify.h"
#include "rewrite/products.h"
#include "schemes/float16.h"
#include "schemes/nbits_lookup.h"
#include "schemes/nbits_plan.h"
#include "schemes/outcome.h"

namespace lorapress {
namespace {

// The weight's entry in ActivationStats; null when there is none.
std::shared_ptr<const ErrorFeedback> feedback_of(const SchemeContext& context,
                                                 const std::string& weight) {
  if (context.statistics == nullptr) {
    return nullptr;
  }
  const auto found = context.statistics->find(weight);
  return found == context.statistics->end() ? nullptr : found->second;
}

class Q4Pass {
 public:
  Q4Pass(Model& model, const SchemeContext& context, DType scale_dtype)
      : graph_(model), options_(context.options) {
    ConstantMatrices matrices(graph_, options_);
    const NBitsFormat format{
        options_.block_size, options_.symmetric, options_.rounding, scale_dtype};
    for (const auto& [name, plan] : plan_matrices(matrices, options_.block_size)) {
      const auto feedback = feedback_of(context, name);
      if (context.statistics != nullptr && context.use != nullptr) {
        ++(feedback ? context.use->observed : context.use->unobserved);
      }
      const NBitsWeights made = quantize_nbits(name, plan.matrix, format, feedback);
      NBitsTensors& tensors = tensors_[name];
      tensors = {graph_.add_weight(name + "_Q4", made.packed),
                 graph_.add_weight(name + "_scales", made.scales),
                 made.zero_points ? graph_.add_weight(name + "_zero_points", made.zero_points) : "",
                 plan.matrix->rows(),
                 plan.matrix->cols(),
                 made.packed->shape().at(1),
                 options_.block_size,
                 plan.matrix->dtype()};
    }
    note_outcome(context, "4 bit", matrices, tensors_);
  }

  void run() {
    if (tensors_.empty()) {
      return;
    }
    graph_.rewrite([&](const onnx::NodeProto& node, NodeList& nodes) {
      const auto use = matrix_use(graph_, node);
      const auto found = use ? tensors_.find(use->weight) : tensors_.end();
      if (found == tensors_.end()) {
        return false;
      }
      replace(node, use->kind, found->second, nodes);
      return true;
    });
    graph_.require_opset(std::string(kMicrosoftDomain), 1);
    graph_.drop_unused_weights();
  }

 private:
  void replace(const onnx::NodeProto& node,
               MatrixUse::Kind kind,
               const NBitsTensors& tensors,
               NodeList& nodes) {
    if (kind == MatrixUse::Kind::kLookup) {
      emit_lookup(graph_, node, tensors, nodes);
      return;
    }
    const auto product = [&](const std::string& output) { multiply(node, tensors, output, nodes); };
    emit_product(graph_, node, tensors.dtype, product, nodes);
  }

  //  A [..., K] ── MatMulNBits(packed, scales, zero points) ── [..., N]
  // A bias stays an Add after it: older runtimes do not know the bias input.
  void multiply(const onnx::NodeProto& node,
                const NBitsTensors& tensors,
                const std::string& output,
                NodeList& nodes) const {
    std::vector<std::string> inputs{node.input(0), tensors.packed, tensors.scales};
    if (!tensors.zero_points.empty()) {
      inputs.push_back(tensors.zero_points);
    }
    Attributes attributes{{"K", tensors.columns},
                          {"N", tensors.rows},
                          {"bits", int64_t{4}},
                          {"block_size", options_.block_size}};
    if (options_.accuracy_level != 0) {
      const Attribute level{"accuracy_level", options_.accuracy_level};
      attributes.push_back(level);  // gcc 12 warns of the move of a temporary
    }
    nodes.push_back(
        make_node("MatMulNBits", node.name(), inputs, {output}, attributes, kMicrosoftDomain));
  }

  Rewriter graph_;
  const SchemeOptions& options_;
  std::map<std::string, NBitsTensors> tensors_;
};

// Scales are rounded to `scale_dtype` but are float32 tensors where the matrix is float32.
void quantize_q4(Model& model, const SchemeContext& context, DType scale_dtype) {
  convolutions_to_products(model);
  expand_products(model, context.options);
  Q4Pass(model, context, scale_dtype).run();
}

}  // namespace

void apply_q4(Model& model, const SchemeContext& context) {
  quantize_q4(model, context, DType::kF32);
}

void apply_q4f16(Model& model, const SchemeContext& context) {
  quantize_q4(model, context, DType::kF16);
  SchemeContext halving = context;
  halving.outcome = nullptr;  // the outcome reports the 4-bit pass
  apply_fp16(model, halving);
}

}  // namespace lorapress
