#include "blocks/cross_attention.h"

#include "blocks/heads.h"
#include "blocks/shapes.h"

namespace lorapress {
namespace {

//  encoder states ── kv ── Split ── heads ── k, v [batch, heads, encoder tokens, width]
KeyValue cross_keys(const Builder& b,
                    const std::string& scope,
                    const LinearWeights& weights,
                    const CrossContext& context) {
  const int64_t width = context.num_heads * context.head_dim;
  const Value packed = linear(b, scope + "/kv_proj", context.encoder_states, weights);
  const std::vector<Value> parts = b.graph.ops("Split",
                                               scope + "/Split_kv",
                                               {packed, b.graph.integers({width, width})},
                                               {{"axis", int64_t{2}}},
                                               {0, 1});
  const auto heads = [&](const std::string& name, const Value& x) {
    return heads_first(
        b, name, split_heads(b, name + "_split", x, context.num_heads, context.head_dim));
  };
  return {heads(scope + "/keys", parts[0]), heads(scope + "/values", parts[1])};
}

}  // namespace

LinearWeights packed_kv(const std::string& name, const LinearWeights& k, const LinearWeights& v) {
  const auto join = [](const WeightPtr& left, const WeightPtr& right) {
    return concat_rows({cast(left, DType::kF32), cast(right, DType::kF32)});
  };
  return {name + ".kv_proj", join(k.weight, v.weight), k.bias ? join(k.bias, v.bias) : nullptr};
}

//  past_key ── Shape[2] ── Equal(0) ── first
CrossContext cross_context(const Builder& b,
                           const std::string& scope,
                           const Value& encoder_states,
                           const Value& past_key,
                           const CausalHeads& heads) {
  Graph& graph = b.graph;
  const Value length = length_of(b, scope + "/cross_length", past_key, 2);
  const Value scalar = graph.op("Squeeze", scope + "/cross_scalar", {length, graph.integers({0})});
  const Value first = graph.op("Equal", scope + "/first_call", {scalar, graph.integer(0)});
  return {heads.num_attention_heads, heads.head_dim, first, encoder_states};
}

//  x ── q ── heads ─┐
//                  If first ── then: k, v of the encoder's states ── attend ── attended, k, v
//                           └─ else: the past's k, v ─────────────── attend ── attended, empty
CrossOutput cross_attention(const Builder& b,
                            const std::string& scope,
                            const Value& x,
                            const CrossAttentionWeights& weights,
                            const KeyValue& past,
                            const CrossContext& context,
                            double scale) {
  Graph& graph = b.graph;
  const double factor = scale != 0.0 ? scale : usual_scale(context.head_dim);
  const Value q = heads_first(b,
                              scope + "/heads_first_q",
                              split_heads(b,
                                          scope + "/Reshape_q",
                                          linear(b, scope + "/q_proj", x, weights.q),
                                          context.num_heads,
                                          context.head_dim));
  const auto attended = [&](const std::string& name, const KeyValue& kv) {
    const Value y = attend(b, name, q, kv.key, kv.value, {}, factor);
    return join_heads(b, name, y, context.num_heads * context.head_dim);
  };
  const std::string first = scope + "/first";
  const BodyPtr then_branch = graph.body(first, {}, [&](const std::vector<Value>&) {
    const KeyValue made = cross_keys(b, first, weights.kv, context);
    return std::vector<Value>{attended(first, made), made.key, made.value};
  });
  const std::string later = scope + "/later";
  const BodyPtr else_branch = graph.body(later, {}, [&](const std::vector<Value>&) {
    const auto nothing = [&](const std::string& name, const Value& cache) {
      const Value zero = graph.integers({0});
      return graph.op("Slice", later + name, {cache, zero, zero, graph.integers({2})});
    };
    return std::vector<Value>{
        attended(later, past), nothing("/no_keys", past.key), nothing("/no_values", past.value)};
  });
  const std::vector<Value> outputs =
      graph.ops("If",
                scope + "/If",
                {context.first},
                {{"then_branch", then_branch}, {"else_branch", else_branch}},
                {0, 1, 2});
  return {outputs[0], {outputs[1], outputs[2]}};
}

}  // namespace lorapress
