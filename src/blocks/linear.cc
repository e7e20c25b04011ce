#include "blocks/linear.h"

#include "blocks/shapes.h"

namespace lorapress {

//  x ── MatMul(weight^T) ── Add(bias) ── y
// The weight is stored [in, out], transposed while it is written: every runtime has its fastest
// kernel for a constant right side in that layout, and quantizers look for it.
Value linear(const Builder& b,
             const std::string& scope,
             const Value& x,
             const LinearWeights& weights) {
  const Value weight =
      b.weight(weights.name + ".weight_transposed", transpose(cast(weights.weight, DType::kF32)));
  const Value product = b.graph.op("MatMul", scope + "/MatMul", {x, weight});
  if (!weights.bias) {
    return product;
  }
  return b.graph.op(
      "Add", scope + "/Add", {product, b.weight(weights.name + ".bias", weights.bias)});
}

//  table ── Gather(ids) ── embeddings
Value embed(const Builder& b, const std::string& scope, const Value& table, const Value& ids) {
  return b.graph.op("Gather", scope + "/Gather", {table, ids}, {{"axis", int64_t{0}}});
}

Value last_position(const Builder& b, const std::string& scope, const Value& x) {
  return b.graph.op(
      "Gather", scope + "/Gather", {x, b.graph.integers({-1})}, {{"axis", int64_t{1}}});
}

//  x [batch, 1, hidden] ── Reshape [batch, hidden] ── Gemm(table, (bias), transB) ── Reshape ── [batch, 1, vocab]
// Gemm reads the table as it is stored for the lookup, so a tied table is stored once.
Value lm_head(const Builder& b,
              const std::string& scope,
              const Value& x,
              const Value& table,
              const Value& bias,
              bool all_positions) {
  const int64_t hidden = table.dim(1).value;
  const int64_t vocab = table.dim(0).value;
  Graph& graph = b.graph;
  const Value flat = graph.op("Reshape", scope + "/Flatten", {x, graph.integers({-1, hidden})});
  std::vector<Value> inputs{flat, table};
  if (bias.present()) {
    inputs.push_back(bias);
  }
  const Value logits = graph.op("Gemm", scope + "/Gemm", inputs, {{"transB", int64_t{1}}});
  Value dims = graph.integers({-1, 1, vocab});
  if (all_positions) {
    const Value length = length_of(b, scope + "/length", x, 1);
    dims = graph.op("Concat",
                    scope + "/dims",
                    {graph.integers({-1}), length, graph.integers({vocab})},
                    {{"axis", int64_t{0}}});
  }
  return graph.op("Reshape", scope + "/Unflatten", {logits, dims});
}

}  // namespace lorapress
