// Decoders of Llama's kind: RMSNorm, rotary positions, grouped heads and a gated MLP. Their
// families differ in the defaults of their configs and in which layers have biases.
#ifndef LORAPRESS_FAMILIES_LLAMA_DECODER_H_
#define LORAPRESS_FAMILIES_LLAMA_DECODER_H_

#include <functional>

#include "families/family.h"

namespace lorapress {

// config.json by the keys of transformers' configuration_llama.py. Absent keys take `defaults`,
// whose `layers` also say which projections have biases and what else the layers have. A default of
// 0 means num_attention_heads for num_key_value_heads, and hidden_size / num_attention_heads for
// head_dim.
TextConfig read_llama_config(const Json& json, std::string_view where, TextConfig defaults);

// "sliding_window"; `fallback` where the key is absent, 0 (no window) where it is null.
int64_t read_window(const Json& json, std::string_view where, int64_t fallback);

// Gives sliding layers the window, or none where it holds all positions anyway. Which layers slide
// is said by "layer_types", else by `slides`, which is asked only where there is a window. `config`
// is read by read_llama_config(). Throws kInvalidFile where a layer slides and `window` is 0.
void set_windows(TextConfig& config,
                 const Json& json,
                 std::string_view where,
                 int64_t window,
                 const std::function<bool(int64_t layer)>& slides);

Value build_llama_table(const Builder& b, WeightTaker& weights, const TextConfig& config);
DecoderOutput decode_llama(const Builder& b,
                           WeightTaker& weights,
                           const TextConfig& config,
                           const DecoderInputs& inputs);

}  // namespace lorapress

#endif  // LORAPRESS_FAMILIES_LLAMA_DECODER_H_
