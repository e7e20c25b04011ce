#include "blocks/attention.h"

#include <cmath>
#include <limits>

#include "blocks/shapes.h"

namespace lorapress {
namespace {

// q, k and v as one product: the rows of the three weights concatenated. An adapter may have
// replaced one weight in another dtype, so all three are cast to float32.
LinearWeights packed_qkv(const AttentionWeights& weights) {
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

// [batch, sequence, heads * width] -> [batch, sequence, heads, width]
Value split_heads(
    const Builder& b, const std::string& name, const Value& x, int64_t heads, int64_t width) {
  return b.graph.op("Reshape", name, {x, b.graph.integers({0, 0, heads, width})});
}

// [batch, sequence, heads, width] -> [batch, heads, sequence, width]
Value heads_first(const Builder& b, const std::string& name, const Value& x) {
  return b.graph.op("Transpose", name, {x}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
}

// [batch, heads, sequence, width] -> [batch, sequence, heads * width]
Value join_heads(const Builder& b, const std::string& scope, const Value& x, int64_t width) {
  const Value transposed = heads_first(b, scope + "/Transpose_out", x);
  return b.graph.op(
      "Reshape", scope + "/Reshape_out", {transposed, b.graph.integers({0, 0, width})});
}

//  q ── Mul(1/sqrt d) ── MatMul(k^T) ── (Add mask) ── Softmax ── MatMul(v) ── y
// q [batch, heads, rows, d], k and v [batch, heads, columns, d]
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

//  key positions 0 … total-1 (columns) against query positions past … total-1 (rows, once per group)
//  mask = Where(key <= query, 0, lowest)
Value causal_mask(const Builder& b,
                  const std::string& scope,
                  const Value& past,
                  const Value& total,
                  int64_t group) {
  Graph& graph = b.graph;
  const Value axis = graph.integers({0});
  const auto range = [&](const std::string& name, const Value& from) {
    const Value to = graph.op("Squeeze", name + "_end", {total, axis});
    return graph.op("Range", name, {from, to, graph.integer(1)});
  };
  const Value keys = range(scope + "/key_positions", graph.integer(0));
  const Value queries =
      range(scope + "/query_positions", graph.op("Squeeze", scope + "/past", {past, axis}));
  const Value rows = graph.op("Concat",
                              scope + "/group_positions",
                              std::vector<Value>(static_cast<size_t>(group), queries),
                              {{"axis", int64_t{0}}});
  const Value column = graph.op("Unsqueeze", scope + "/query_column", {rows, graph.integers({1})});
  const Value visible = graph.op("LessOrEqual", scope + "/LessOrEqual", {keys, column});
  return graph.op(
      "Where",
      scope + "/Where",
      {visible, graph.scalar(0.0F), graph.scalar(std::numeric_limits<float>::lowest())});
}

// ONNX Runtime's GroupQueryAttention rotates only heads of a multiple of 16 (its check: "head_size
// shall be a multiple of 16"); other widths take the standard nodes in either dialect.
bool fuses_attention(const Builder& b, int64_t head_dim) {
  return b.fused() && head_dim % 16 == 0;
}

CausalOutput fused_attention(const Builder& b,
                             const std::string& scope,
                             const Value& packed,
                             const KeyValue& past,
                             const CausalContext& context) {
  const std::vector<Value> outputs =
      b.graph.ops("GroupQueryAttention",
                  scope + "/GroupQueryAttention",
                  {packed,
                   Value{},
                   Value{},
                   past.key,
                   past.value,
                   context.seqlens_k,
                   context.total_length,
                   context.rope.cos,
                   context.rope.sin},
                  {{"num_heads", context.heads.num_attention_heads},
                   {"kv_num_heads", context.heads.num_key_value_heads},
                   {"do_rotary", int64_t{1}}},
                  {0, 1, 2});
  return {outputs[0], {outputs[1], outputs[2]}};
}

//  q, k, v ── rotate q and k ── Concat past ── attend ── y
// Query heads of one key head become rows of one matrix: [batch, kv_heads, group * sequence, d], so
// keys and values are never repeated.
CausalOutput standard_attention(const Builder& b,
                                const std::string& scope,
                                const Value& packed,
                                const KeyValue& past,
                                const CausalContext& context) {
  Graph& graph = b.graph;
  const int64_t heads = context.heads.num_attention_heads;
  const int64_t kv_heads = context.heads.num_key_value_heads;
  const int64_t width = context.heads.head_dim;
  const std::vector<Value> qkv = split_qkv(b, scope, packed, heads * width, kv_heads * width);
  const Value q = rotate(b,
                         scope + "/rotate_q",
                         split_heads(b, scope + "/Reshape_q", qkv[0], heads, width),
                         context.rope);
  const Value k = rotate(b,
                         scope + "/rotate_k",
                         split_heads(b, scope + "/Reshape_k", qkv[1], kv_heads, width),
                         context.rope);
  const Value v = split_heads(b, scope + "/Reshape_v", qkv[2], kv_heads, width);
  const auto extend = [&](const std::string& name, const Value& before, const Value& now) {
    return graph.op("Concat",
                    scope + "/Concat_" + name,
                    {before, heads_first(b, scope + "/heads_first_" + name, now)},
                    {{"axis", int64_t{2}}});
  };
  const Value present_key = extend("k", past.key, k);
  const Value present_value = extend("v", past.value, v);
  const Value grouped = graph.op(
      "Reshape",
      scope + "/Reshape_group",
      {heads_first(b, scope + "/heads_first_q", q), graph.integers({0, kv_heads, -1, width})});
  const Value attended = attend(b, scope, grouped, present_key, present_value, context.mask, width);
  const Value ungrouped = graph.op(
      "Reshape", scope + "/Reshape_ungroup", {attended, graph.integers({0, heads, -1, width})});
  return {join_heads(b, scope, ungrouped, heads * width), {present_key, present_value}};
}

//  q, k and v [batch, tokens, hidden] -> attended, the same shape; `scores` may be absent
Value encoder_core(const Builder& b,
                   const std::string& scope,
                   const std::vector<Value>& qkv,
                   const Value& scores,
                   int64_t num_heads) {
  const int64_t hidden = qkv[0].dim(2).value;
  if (b.fused()) {
    std::vector<Value> inputs = qkv;
    if (scores.present()) {  // attention_bias [batch, 1, tokens, tokens]
      const Value one = b.graph.integers({1});
      const Value shape = b.graph.op("Concat",
                                     scope + "/bias_shape",
                                     {length_of(b, scope + "/batch", qkv[0], 0),
                                      one,
                                      length_of(b, scope + "/tokens", qkv[0], 1),
                                      one},
                                     {{"axis", int64_t{0}}});
      inputs.insert(inputs.end(),
                    {{}, {}, b.graph.op("Expand", scope + "/bias", {scores, shape})});
    }
    return b.graph.op(
        "MultiHeadAttention", scope + "/MultiHeadAttention", inputs, {{"num_heads", num_heads}});
  }
  const int64_t width = hidden / num_heads;
  std::vector<Value> heads;
  for (const size_t part : {0, 1, 2}) {
    const std::string name = scope + "/heads_" + std::to_string(part);
    heads.push_back(
        heads_first(b, name, split_heads(b, name + "_split", qkv[part], num_heads, width)));
  }
  const Value attended = attend(b, scope, heads[0], heads[1], heads[2], scores, width);
  return join_heads(b, scope, attended, hidden);
}

}  // namespace

//  fused:    x ── qkv ── Split ── MultiHeadAttention ── out ── y
//  standard: x ── qkv ── Split ── heads ── attend ── join ── out ── y
// With padding, the part between Split and out is the branches of an If: the mask costs a matrix of
// tokens x tokens, and images without padding are the rule.
Value encoder_attention(const Builder& b,
                        const std::string& scope,
                        const Value& x,
                        const AttentionWeights& weights,
                        int64_t num_heads,
                        const PaddingMask& padding) {
  const int64_t hidden = x.dim(2).value;
  const Value packed = linear(b, scope + "/qkv_proj", x, packed_qkv(weights));
  const std::vector<Value> qkv = split_qkv(b, scope, packed, hidden, hidden);
  Value attended;
  if (padding.none.present()) {
    const auto branch = [&](const std::string& name, const Value& scores) {
      return b.graph.body(scope + name, {}, [&](const std::vector<Value>&) {
        return std::vector<Value>{encoder_core(b, scope + name, qkv, scores, num_heads)};
      });
    };
    attended = b.graph.op("If",
                          scope + "/If",
                          {padding.none},
                          {{"then_branch", branch("/whole", {})},
                           {"else_branch", branch("/padded", padding.scores)}});
  } else {
    attended = encoder_core(b, scope, qkv, {}, num_heads);
  }
  return linear(b, scope + "/out_proj", attended, weights.out);
}

//  past = Shape(past_key)[2]; sequence = Shape(hidden_states)[1]; total = past + sequence
CausalContext causal_context(const Builder& b,
                             const std::string& scope,
                             const Value& hidden_states,
                             const Value& past_key,
                             const CausalHeads& heads,
                             const RopeTables& rope) {
  Graph& graph = b.graph;
  const Value past = length_of(b, scope + "/past_length", past_key, 2);
  const Value sequence = length_of(b, scope + "/sequence_length", hidden_states, 1);
  const Value total = graph.op("Add", scope + "/total_length", {past, sequence});
  CausalContext context{heads, rope, {}, {}, {}};
  if (fuses_attention(b, heads.head_dim)) {
    const Attributes to_int32{{"to", int64_t{dtype_row(DType::kI32).onnx}}};
    const Value batch = length_of(b, scope + "/batch_size", hidden_states, 0);
    const Value last = graph.op("Sub", scope + "/last_position", {total, graph.integers({1})});
    const Value rows = graph.op("Expand", scope + "/Expand", {last, batch});
    context.seqlens_k = graph.op("Cast", scope + "/seqlens_k", {rows}, to_int32);
    const Value scalar = graph.op("Squeeze", scope + "/total_scalar", {total, graph.integers({0})});
    context.total_length = graph.op("Cast", scope + "/total_sequence_length", {scalar}, to_int32);
  } else {
    context.rope = rope_rows(b, scope + "/rotary", rope, past, total);
    context.mask = causal_mask(
        b, scope + "/mask", past, total, heads.num_attention_heads / heads.num_key_value_heads);
  }
  return context;
}

//  x ── qkv ── GroupQueryAttention(past, rotary tables) ── attended, present      (fused)
CausalOutput causal_attention(const Builder& b,
                              const std::string& scope,
                              const Value& x,
                              const AttentionWeights& weights,
                              const KeyValue& past,
                              const CausalContext& context) {
  const Value packed = linear(b, scope + "/qkv_proj", x, packed_qkv(weights));
  return fuses_attention(b, context.heads.head_dim)
             ? fused_attention(b, scope, packed, past, context)
             : standard_attention(b, scope, packed, past, context);
}

}  // namespace lorapress
