// The inputs and outputs of one call of any decoder.
#ifndef LORAPRESS_BLOCKS_DECODER_H_
#define LORAPRESS_BLOCKS_DECODER_H_

#include <span>
#include <vector>

#include "blocks/builder.h"

namespace lorapress {

// A layer's keys and values, [batch, num_key_value_heads, length, head_dim].
struct KeyValue {
  Value key;
  Value value;
};

// Keys and values as a Loop carries them: layer by layer, the key first.
inline std::vector<Value> flatten_cache(const std::vector<KeyValue>& layers) {
  std::vector<Value> values;
  for (const KeyValue& layer : layers) {
    values.insert(values.end(), {layer.key, layer.value});
  }
  return values;
}
inline std::vector<KeyValue> pair_cache(std::span<const Value> values) {
  std::vector<KeyValue> layers;
  for (size_t i = 0; i + 1 < values.size(); i += 2) {
    layers.push_back({values[i], values[i + 1]});
  }
  return layers;
}

struct DecoderOutput {
  Value logits;                   // [batch, 1, vocab_size]: the last position, or all of the call
  std::vector<KeyValue> present;  // per layer: the past and this call's positions
  std::vector<KeyValue> cross;    // per layer with cross attention: see cross_attention()
  bool sees_padding = false;      // the call's attention_mask was looked at
};

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_DECODER_H_
