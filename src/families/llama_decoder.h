// Decoders of Llama's kind: RMSNorm, rotary positions, grouped heads and a gated MLP. Their
// families differ in the defaults of their configs and in which layers have biases.
#ifndef LORAPRESS_FAMILIES_LLAMA_DECODER_H_
#define LORAPRESS_FAMILIES_LLAMA_DECODER_H_

#include "families/family.h"

namespace lorapress {

// config.json by the keys of transformers' configuration_llama.py. Absent keys take `defaults`,
// whose `layers` also say which projections have biases. A default of 0 for num_key_value_heads
// means num_attention_heads.
TextConfig read_llama_config(const Json& json, std::string_view where, TextConfig defaults);

Value build_llama_table(const Builder& b, WeightTaker& weights, const TextConfig& config);
DecoderOutput decode_llama(const Builder& b,
                           WeightTaker& weights,
                           const TextConfig& config,
                           const DecoderInputs& inputs);

}  // namespace lorapress

#endif  // LORAPRESS_FAMILIES_LLAMA_DECODER_H_
