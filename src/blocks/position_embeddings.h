// Embeddings of positions that are added to those of tokens.
#ifndef LORAPRESS_BLOCKS_POSITION_EMBEDDINGS_H_
#define LORAPRESS_BLOCKS_POSITION_EMBEDDINGS_H_

#include <string>

#include "blocks/builder.h"

namespace lorapress {

// `table` [rows, hidden], of which row `offset` belongs to position 0; `embeddings` [batch,
// sequence, hidden] of the positions behind those of `past_key` [batch, heads, past, head_dim]
// -> [sequence, hidden].
Value learned_positions(const Builder& b,
                        const std::string& scope,
                        const Value& table,
                        int64_t offset,
                        const Value& embeddings,
                        const Value& past_key);

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_POSITION_EMBEDDINGS_H_
