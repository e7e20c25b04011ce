// The steps that all kinds of attention share: projections joined to one product, heads split,
// joined and attended.
#ifndef LORAPRESS_BLOCKS_HEADS_H_
#define LORAPRESS_BLOCKS_HEADS_H_

#include <string>
#include <vector>

#include "blocks/attention.h"

namespace lorapress {

// q, k and v as one product: the rows of the three weights concatenated. An adapter may have
// replaced one weight in another dtype, so all three are cast to float32. All three have a bias or
// none. `weights.qkv` where there is one.
LinearWeights packed_qkv(const AttentionWeights& weights);

// [batch, sequence, q + 2 kv] -> q [batch, sequence, q], k and v [batch, sequence, kv]
std::vector<Value> split_qkv(
    const Builder& b, const std::string& scope, const Value& packed, int64_t q, int64_t kv);

// [batch, sequence, heads * width] -> [batch, sequence, heads, width]
Value split_heads(
    const Builder& b, const std::string& name, const Value& x, int64_t heads, int64_t width);

// [batch, sequence, heads, width] -> [batch, heads, sequence, width]
Value heads_first(const Builder& b, const std::string& name, const Value& x);

// [batch, heads, sequence, width] -> [batch, sequence, heads * width]; `width` is that product
Value join_heads(const Builder& b, const std::string& scope, const Value& x, int64_t width);

// softmax(q k^T / sqrt(head_dim) + mask) v, with q [batch, heads, rows, head_dim] and k and v
// [batch, heads, columns, head_dim]. `mask` is broadcast to the scores, or absent.
Value attend(const Builder& b,
             const std::string& scope,
             const Value& q,
             const Value& k,
             const Value& v,
             const Value& mask,
             int64_t head_dim);

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_HEADS_H_
