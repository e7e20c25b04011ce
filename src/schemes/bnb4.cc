#include "schemes/bnb4.h"

#include "quant/bnb4.h"
#include "rewrite/emit_product.h"
#include "rewrite/patchify.h"
#include "rewrite/products.h"
#include "schemes/nbits_plan.h"
#include "schemes/outcome.h"

namespace lorapress {
namespace {

constexpr int64_t kNormalFloat = 1;  // MatMulBnb4's quant_type

struct Bnb4Tensors {
  std::string packed;
  std::string absmax;
  int64_t rows = 0;
  int64_t columns = 0;
};

}  // namespace

//  A [..., K] ── MatMulBnb4(packed, absmax) ── [..., N]
void apply_bnb4(Model& model, const SchemeContext& context) {
  convolutions_to_products(model);
  expand_products(model, context.options);
  Rewriter graph(model);
  ConstantMatrices matrices(graph, context.options);
  const int64_t block_size = context.options.block_size;
  std::map<std::string, Bnb4Tensors> tensors;
  for (const auto& [name, plan] : plan_matrices(matrices, block_size)) {
    if (plan.looked_up) {
      matrices.add_reason(name, "looked up, which bnb4 has no form for");
      continue;
    }
    const Bnb4Weights made = quantize_bnb4(name, plan.matrix, block_size);
    tensors[name] = {graph.add_weight(name + "_Bnb4", made.packed),
                     graph.add_weight(name + "_absmax", made.absmax),
                     plan.matrix->rows(),
                     plan.matrix->cols()};
  }
  note_outcome(context, "4 bit", matrices, tensors);
  if (tensors.empty()) {
    return;
  }
  graph.rewrite([&](const onnx::NodeProto& node, NodeList& nodes) {
    const auto use = matrix_use(graph, node);
    const auto found = use ? tensors.find(use->weight) : tensors.end();
    if (found == tensors.end()) {
      return false;
    }
    const Bnb4Tensors& weight = found->second;
    const auto multiply = [&](const std::string& output) {
      nodes.push_back(make_node("MatMulBnb4",
                                node.name(),
                                {node.input(0), weight.packed, weight.absmax},
                                {output},
                                {{"K", weight.columns},
                                 {"N", weight.rows},
                                 {"block_size", block_size},
                                 {"quant_type", kNormalFloat}},
                                kMicrosoftDomain));
    };
    emit_product(graph, node, graph.weight(use->weight)->dtype(), multiply, nodes);
    return true;
  });
  graph.require_opset(std::string(kMicrosoftDomain), 1);
  graph.drop_unused_weights();
}

}  // namespace lorapress
