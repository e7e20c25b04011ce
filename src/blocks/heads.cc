#include "blocks/heads.h"

#include <cmath>

namespace lorapress {

LinearWeights packed_qkv(const AttentionWeights& weights) {
  if (weights.qkv.weight) {
    return weights.qkv;
  }
  const auto join = [](const WeightPtr& q, const WeightPtr& k, const WeightPtr& v) {
    return concat_rows({cast(q, DType::kF32), cast(k, DType::kF32), cast(v, DType::kF32)});
  };
  const bool biased = weights.q.bias != nullptr;  // all three or none
  return {weights.name + ".qkv_proj",
          join(weights.q.weight, weights.k.weight, weights.v.weight),
          biased ? join(weights.q.bias, weights.k.bias, weights.v.bias) : nullptr};
}

std::vector<Value> split_qkv(
    const Builder& b, const std::string& scope, const Value& packed, int64_t q, int64_t kv) {
  return b.graph.ops("Split",
                     scope + "/Split",
                     {packed, b.graph.integers({q, kv, kv})},
                     {{"axis", int64_t{2}}},
                     {0, 1, 2});
}

Value split_heads(
    const Builder& b, const std::string& name, const Value& x, int64_t heads, int64_t width) {
  return b.graph.op("Reshape", name, {x, b.graph.integers({0, 0, heads, width})});
}

Value heads_first(const Builder& b, const std::string& name, const Value& x) {
  return b.graph.op("Transpose", name, {x}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
}

Value join_heads(const Builder& b, const std::string& scope, const Value& x, int64_t width) {
  const Value transposed = heads_first(b, scope + "/Transpose_out", x);
  return b.graph.op(
      "Reshape", scope + "/Reshape_out", {transposed, b.graph.integers({0, 0, width})});
}

//  q ── Mul(1/sqrt d) ── MatMul(k^T) ── (Add mask) ── Softmax ── MatMul(v) ── y
Value attend(const Builder& b,
             const std::string& scope,
             const Value& q,
             const Value& k,
             const Value& v,
             const Value& mask,
             int64_t head_dim) {
  Graph& graph = b.graph;
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));
  const Value scaled = graph.op("Mul", scope + "/Mul_scale", {q, graph.scalar(scale)});
  const Value transposed = graph.op(
      "Transpose", scope + "/Transpose_k", {k}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
  Value scores = graph.op("MatMul", scope + "/MatMul_qk", {scaled, transposed});
  if (mask.present()) {
    scores = graph.op("Add", scope + "/Add_mask", {scores, mask});
  }
  const Value weights = graph.op("Softmax", scope + "/Softmax", {scores}, {{"axis", int64_t{-1}}});
  return graph.op("MatMul", scope + "/MatMul_v", {weights, v});
}

}  // namespace lorapress
