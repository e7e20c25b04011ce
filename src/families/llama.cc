// Llama (SmolLM, SmolLM2, TinyLlama), transformers configuration_llama.py and modeling_llama.py.
#include "families/llama_decoder.h"

namespace lorapress {
namespace {

TextConfig read_llama(const Json& json, std::string_view where) {
  const bool bias = json_or<bool>(json, "attention_bias", false, where);
  TextConfig defaults;
  defaults.num_key_value_heads = 0;
  defaults.layers = LlamaLayers{.intermediate_size = 11008,
                                .rope = {},
                                .attention_bias = {bias, bias, bias, bias},
                                .mlp_bias = json_or<bool>(json, "mlp_bias", false, where),
                                .kinds = {}};
  return read_llama_config(json, where, std::move(defaults));
}

}  // namespace

extern const TextFamily kLlama{
    {"llama", "LlamaForCausalLM", read_llama}, build_llama_table, decode_llama};

}  // namespace lorapress
