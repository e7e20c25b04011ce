#include "blocks/attention.h"

#include "blocks/heads.h"
#include "blocks/shapes.h"

namespace lorapress {
namespace {

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
      inputs.insert(inputs.end(), {{}, {}, b.graph.op("Expand", scope + "/bias", {scores, shape})});
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
  const Value attended = attend(b, scope, heads[0], heads[1], heads[2], scores, usual_scale(width));
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

}  // namespace lorapress
