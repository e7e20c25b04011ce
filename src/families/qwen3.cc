// Qwen3, transformers configuration_qwen3.py and modeling_qwen3.py: a Llama whose query and key
// heads are normalised before they are rotated. Its head_dim does not follow from hidden_size.
#include "families/qwen_windows.h"

namespace lorapress {
namespace {

TextConfig read_qwen3(const Json& json, std::string_view where) {
  const bool bias = json_or<bool>(json, "attention_bias", false, where);
  TextConfig defaults;
  defaults.vocab_size = 151936;
  defaults.head_dim = 128;
  defaults.max_position_embeddings = 32768;
  defaults.layers = LlamaLayers{.intermediate_size = 22016,
                                .rope = {},
                                .attention_bias = {bias, bias, bias, bias},
                                .head_norms = true,
                                .kinds = {}};
  TextConfig config = read_llama_config(json, where, std::move(defaults));
  set_qwen_windows(config, json, where);
  return config;
}

}  // namespace

extern const TextFamily kQwen3{
    {"qwen3", "Qwen3ForCausalLM", read_qwen3}, build_llama_table, decode_llama};

}  // namespace lorapress
