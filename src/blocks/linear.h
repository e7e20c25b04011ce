// Linear layers, the embedding lookup and the language-model head.
#ifndef LORAPRESS_BLOCKS_LINEAR_H_
#define LORAPRESS_BLOCKS_LINEAR_H_

#include <string>

#include "blocks/builder.h"

namespace lorapress {

// A torch Linear: weight [out, in] and bias [out], or a null bias.
struct LinearWeights {
  std::string name;  // of the module: "language_model.model.layers.0.mlp.up_proj"
  WeightPtr weight;
  WeightPtr bias;
};

// x [..., in] -> [..., out]
Value linear(const Builder& b,
             const std::string& scope,
             const Value& x,
             const LinearWeights& weights);

// ids [batch, sequence] int64, table [vocab, hidden] -> [batch, sequence, hidden]
Value embed(const Builder& b, const std::string& scope, const Value& table, const Value& ids);

// The last position of x [batch, sequence, hidden] -> [batch, 1, hidden]
Value last_position(const Builder& b, const std::string& scope, const Value& x);

// x [batch, 1, hidden], table [vocab, hidden] (the tied embedding or the head's own), bias [vocab] or
// absent -> logits [batch, 1, vocab]; with `all_positions` x has any number of them
Value lm_head(const Builder& b,
              const std::string& scope,
              const Value& x,
              const Value& table,
              const Value& bias = {},
              bool all_positions = false);

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_LINEAR_H_
