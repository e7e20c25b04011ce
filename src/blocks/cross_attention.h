// Cross attention: the tokens of a decoder see those of an encoder. Keys and values depend on the
// encoder alone, so a decoder computes them in its first call and is given them in all further ones.
#ifndef LORAPRESS_BLOCKS_CROSS_ATTENTION_H_
#define LORAPRESS_BLOCKS_CROSS_ATTENTION_H_

#include <string>

#include "blocks/attention.h"

namespace lorapress {

struct CrossAttentionWeights {
  LinearWeights q;
  LinearWeights kv;  // one product: the rows of the keys, then those of the values
  LinearWeights out;
};

// k and v as one product; both have a bias or none.
LinearWeights packed_kv(const std::string& name, const LinearWeights& k, const LinearWeights& v);

// Values that all layers share in one call.
struct CrossContext {
  int64_t num_heads = 0;
  int64_t head_dim = 0;
  Value first;           // bool scalar: the call is given no keys and values
  Value encoder_states;  // [batch, encoder tokens, width]
};

// `past_key` [batch, num_heads, 0 or encoder tokens, head_dim] of any layer.
CrossContext cross_context(const Builder& b,
                           const std::string& scope,
                           const Value& encoder_states,
                           const Value& past_key,
                           const CausalHeads& heads);

struct CrossOutput {
  Value attended;  // [batch, sequence, num_heads * head_dim], before the out projection
  // In the first call the keys and values, [batch, num_heads, encoder tokens, head_dim]; empty in
  // all further ones, whose caller has them (Optimum's decoders do the same, and clients keep those
  // of the first call).
  KeyValue present;
};

// x [batch, sequence, hidden]; `scale` of the scores, 0 for 1 / sqrt(head_dim).
CrossOutput cross_attention(const Builder& b,
                            const std::string& scope,
                            const Value& x,
                            const CrossAttentionWeights& weights,
                            const KeyValue& past,
                            const CrossContext& context,
                            double scale);

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_CROSS_ATTENTION_H_
