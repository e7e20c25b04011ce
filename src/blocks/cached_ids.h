// Token ids that travel as a layer of the key/value cache.
#ifndef LORAPRESS_BLOCKS_CACHED_IDS_H_
#define LORAPRESS_BLOCKS_CACHED_IDS_H_

#include <string>

#include "blocks/decoder.h"

namespace lorapress {

struct CachedIds {
  Value ids;         // int64 [batch, past + positions]; below 0 where a position has none
  KeyValue present;  // past_ids, and this call's behind them
};

// past_ids: float [batch, kv_heads, past, head_dim], each filled with one number a position: id / 2048 rounded
// down in the key and the rest in the value, both exact in float16 up to 4 million ids. ids: int64 [batch, positions] of
// this call.
CachedIds cached_ids(const Builder& b,
                     const std::string& scope,
                     const KeyValue& past_ids,
                     const Value& ids);

// Embeddings [batch, positions, width] with two columns more, id / 2048 rounded down and the rest, so that ids
// travel through clients that hand on embeddings alone. ids: int64 [batch, positions], none below 0.
Value with_id_columns(const Builder& b,
                      const std::string& scope,
                      const Value& embeddings,
                      const Value& ids);
// How many columns these are.
inline constexpr int64_t kIdColumns = 2;

struct MarkedEmbeddings {
  Value embeddings;  // [batch, positions, width]
  Value ids;         // int64 [batch, positions]
};

// The same back. `width` is that of the embeddings without the columns.
MarkedEmbeddings split_id_columns(const Builder& b,
                                  const std::string& scope,
                                  const Value& marked,
                                  int64_t width);

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_CACHED_IDS_H_
