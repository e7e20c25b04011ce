// Patch embedding: pixels to image tokens.
#ifndef LORAPRESS_BLOCKS_PATCH_EMBED_H_
#define LORAPRESS_BLOCKS_PATCH_EMBED_H_

#include <string>

#include "blocks/linear.h"

namespace lorapress {

// Learned tokens that are the same for every image: a class token, register tokens.
struct TokenWeights {
  std::string name;
  WeightPtr weight;  // [count, hidden]; null: none
};

struct PatchEmbedWeights {
  // Convolution kernel [hidden, channels, patch, patch]; bias [hidden] or null.
  LinearWeights patch;
  std::string positions_name;
  WeightPtr positions;  // [tokens, hidden], the class token's first
  int64_t patch_size = 16;
  int64_t image_size = 224;       // of both sides; pixels behind the last whole patch are not used
  TokenWeights class_token = {};  // before the patches
  TokenWeights register_tokens = {};  // between class token and patches, without positions
};

// pixel_values [batch, channels, height, width] -> [batch, tokens, hidden]: class token, registers,
// patches. `position_ids` int64 [tokens] or [batch, tokens] choose rows of the positions; absent: all in
// their order.
Value patch_embed(const Builder& b,
                  const std::string& scope,
                  const Value& pixel_values,
                  const PatchEmbedWeights& weights,
                  const Value& position_ids = {});

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_PATCH_EMBED_H_
