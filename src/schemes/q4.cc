#include "schemes/q4.h"

#include <algorithm>

#include "quant/nbits.h"
#include "rewrite/patchify.h"
#include "rewrite/products.h"
#include "rewrite/rotary_tables.h"
#include "schemes/float16.h"
#include "schemes/nbits_lookup.h"
#include "schemes/nbits_plan.h"

namespace lorapress {
namespace {

class Q4Pass {
 public:
  Q4Pass(Model& model, const SchemeContext& context, DType scale_dtype)
      : graph_(model), options_(context.options) {
    MatrixCensus census(graph_, options_);
    const NBitsFormat format{
        options_.block_size, options_.symmetric, options_.rounding, scale_dtype};
    for (const auto& [name, plan] : plan_matrices(graph_, options_, census)) {
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
    census.report(context, "4 bit", tensors_);
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
    if (kind == MatrixUse::Kind::kGather) {
      emit_lookup(graph_, node, tensors, nodes);
      return;
    }
    const auto product = [&](const std::string& output) { multiply(node, tensors, output, nodes); };
    emit_product(graph_, node, tensors.dtype, product, nodes);
  }

  //  A [..., K] ── MatMulNBits(packed, scales, zero points) ── [..., N]
  // A bias stays an Add behind it: the bias input is not known to older runtimes.
  void multiply(const onnx::NodeProto& node,
                const NBitsTensors& tensors,
                const std::string& output,
                NodeList& nodes) const {
    std::vector<std::string> inputs{node.input(0), tensors.packed, tensors.scales};
    if (!tensors.zero_points.empty()) {
      inputs.push_back(tensors.zero_points);
    }
    const int64_t level = options_.accuracy_level;
    Attributes attributes(level == 0 ? 4 : 5, Attribute{"accuracy_level", level});
    attributes[0] = {"K", tensors.columns};
    attributes[1] = {"N", tensors.rows};
    attributes[2] = {"bits", int64_t{4}};
    attributes[3] = {"block_size", options_.block_size};
    nodes.push_back(
        make_node("MatMulNBits", node.name(), inputs, {output}, attributes, kMicrosoftDomain));
  }

  Rewriter graph_;
  const SchemeOptions& options_;
  std::map<std::string, NBitsTensors> tensors_;
};

// Looks like zeros until it is released. to_float16 reads every weight for values that float16
// cannot hold; for scales that would mean to quantize the whole model once more, and they are
// rounded to float16 as they are found.
class HeldBackWeight final : public Weight {
 public:
  explicit HeldBackWeight(WeightPtr source)
      : Weight(source->dtype(), source->shape()), source_(std::move(source)) {}

  void release() { held_ = false; }

  void read(const Block& block, std::span<std::byte> out) const override {
    if (held_) {
      std::ranges::fill(out, std::byte{0});
    } else {
      source_->read(block, out);
    }
  }

  [[nodiscard]] const Weight* source() const override { return source_.get(); }

 private:
  WeightPtr source_;
  bool held_ = true;
};

}  // namespace

void quantize_q4(Model& model, const SchemeContext& context, DType scale_dtype) {
  convolutions_to_products(model);
  expand_products(model, context.options);
  Q4Pass(model, context, scale_dtype).run();
}

void apply_q4f16(Model& model, const SchemeContext& context) {
  quantize_q4(model, context, DType::kF16);
  std::vector<std::shared_ptr<HeldBackWeight>> held;
  for (auto& [name, weight] : model.weights) {
    if (is_nbits_scales(*weight)) {
      held.push_back(std::make_shared<HeldBackWeight>(weight));
      weight = held.back();
    }
  }
  SchemeContext halving = context;
  halving.outcome = nullptr;  // which is that of 4 bit
  to_float16(model, halving);
  compute_rotary_tables(model);  // a quarter of a megabyte at SmolLM's size
  for (const auto& weight : held) {
    weight->release();
  }
}

void apply_q4(Model& model, const SchemeContext& context) {
  quantize_q4(model, context, DType::kF32);
}

}  // namespace lorapress
