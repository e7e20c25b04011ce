// Rotary position embedding (Su et al. 2021) as precomputed tables.
#ifndef LORAPRESS_BLOCKS_ROPE_H_
#define LORAPRESS_BLOCKS_ROPE_H_

#include <cstdint>
#include <string>

#include "blocks/builder.h"
#include "checkpoint/config.h"

namespace lorapress {

// cos and sin of every position: [max_position_embeddings, head_dim / 2], float32.
struct RopeTables {
  Value cos;
  Value sin;
};

// Inverse frequencies with the config's scaling: transformers modeling_rope_utils.py
// (_compute_default_rope_parameters, _compute_linear_scaling_…, _compute_llama3_parameters).
std::vector<float> inverse_frequencies(const RopeConfig& rope, int64_t head_dim);

RopeTables rope_tables(const Builder& b, const std::string& name, const TextConfig& config);

// The rows [first, first + sequence) of both tables, for rotate().
RopeTables rope_rows(const Builder& b,
                     const std::string& scope,
                     const RopeTables& tables,
                     const Value& first,
                     const Value& end);

// x [batch, sequence, heads, head_dim], rows [sequence, head_dim / 2] -> the same shape, rotated in
// halves as transformers' rotate_half.
Value rotate(const Builder& b, const std::string& scope, const Value& x, const RopeTables& rows);

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_ROPE_H_
