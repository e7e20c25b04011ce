// Rotary position embedding (Su et al. 2021) as precomputed tables.
#ifndef LORAPRESS_BLOCKS_ROPE_H_
#define LORAPRESS_BLOCKS_ROPE_H_

#include <cstdint>
#include <span>
#include <string>

#include "blocks/builder.h"

namespace lorapress {

// Cosines and sines of the angles of every position: [positions, head_dim / 2], float32.
struct RopeTables {
  Value cos;
  Value sin;
};

// angle(position, i) = position * frequencies[i]; frequencies: [head_dim / 2].
RopeTables rope_tables(const Builder& b,
                       const std::string& name,
                       std::span<const float> frequencies,
                       int64_t positions);

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
