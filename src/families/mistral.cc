// Mistral, transformers configuration_mistral.py and modeling_mistral.py: a Llama all of whose
// layers see a window of positions.
#include "families/llama_decoder.h"

namespace lorapress {
namespace {

TextConfig read_mistral(const Json& json, std::string_view where) {
  TextConfig defaults;
  defaults.num_key_value_heads = 8;
  defaults.max_position_embeddings = 131072;
  defaults.layers = LlamaLayers{.intermediate_size = 14336, .rope = {}, .kinds = {}};
  TextConfig config = read_llama_config(json, where, std::move(defaults));
  Json all = json;
  all.erase("layer_types");  // MistralModel does not read it
  set_windows(config, all, where, read_window(json, where, 4096), [](int64_t) { return true; });
  return config;
}

}  // namespace

extern const TextFamily kMistral{
    {"mistral", "MistralForCausalLM", read_mistral}, build_llama_table, decode_llama};

}  // namespace lorapress
