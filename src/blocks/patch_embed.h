// Patch embedding: pixels to image tokens.
#ifndef LORAPRESS_BLOCKS_PATCH_EMBED_H_
#define LORAPRESS_BLOCKS_PATCH_EMBED_H_

#include <string>

#include "blocks/linear.h"

namespace lorapress {

struct PatchEmbedWeights {
  LinearWeights patch;  // convolution kernel [hidden, channels, patch, patch] and bias [hidden]
  std::string positions_name;
  WeightPtr positions;  // [tokens, hidden]
  int64_t patch_size = 16;
};

// pixel_values [batch, channels, height, width] -> [batch, tokens, hidden]. `position_ids` int64
// [tokens] or [batch, tokens] choose rows of the positions; absent: all in their order.
Value patch_embed(const Builder& b,
                  const std::string& scope,
                  const Value& pixel_values,
                  const PatchEmbedWeights& weights,
                  const Value& position_ids = {});

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_PATCH_EMBED_H_
