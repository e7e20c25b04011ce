// Rotary position embedding (Su et al. 2021). The graph computes cosines and sines from the
// frequencies: files carry no tables, and runtimes fold what is constant when they load a graph.
#ifndef LORAPRESS_BLOCKS_ROPE_H_
#define LORAPRESS_BLOCKS_ROPE_H_

#include <cstdint>
#include <span>
#include <string>

#include "blocks/builder.h"

namespace lorapress {

// The rotation of a decoder: angle(position, i) = position * frequencies[i]. Of each head, the first
// rotary_dim numbers are rotated, which are all of them or fewer.
struct Rope {
  Value frequencies;      // float32 [rotary_dim / 2]
  int64_t positions = 0;  // how many there are
  float scaling = 1.0F;   // cosines and sines are multiplied by it
};
Rope rope(const Builder& b,
          const std::string& name,
          std::span<const float> frequencies,
          int64_t positions,
          float scaling = 1.0F);

// Cosines and sines of the angles of consecutive positions: [positions, rotary_dim / 2], float32.
struct RopeTables {
  Value cos;
  Value sin;
};
// Of positions int64 [positions]: the consecutive ones [first, end), which are int64 scalars.
RopeTables rope_tables(const Builder& b,
                       const std::string& scope,
                       const Rope& rope,
                       const Value& first,
                       const Value& end);

// Of positions int64 [batch, sequence]: [batch, sequence, rotary_dim / 2].
RopeTables rope_tables(const Builder& b,
                       const std::string& scope,
                       const Rope& rope,
                       const Value& positions);

// The same with an axis for the heads of a position: [(batch,) positions, 1, rotary_dim / 2].
RopeTables for_heads(const Builder& b, const std::string& scope, const RopeTables& tables);

// x [batch, sequence, heads, head_dim], tables of its positions for_heads() -> the same shape,
// rotated in halves as transformers' rotate_half; what lies behind rotary_dim passes unchanged.
Value rotate(const Builder& b, const std::string& scope, const Value& x, const RopeTables& tables);

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_ROPE_H_
