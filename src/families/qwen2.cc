// Qwen2 and Qwen2.5, transformers configuration_qwen2.py and modeling_qwen2.py: a Llama whose
// queries, keys and values have biases, and whose last layers may see a window only.
#include "families/qwen_windows.h"

namespace lorapress {
namespace {

TextConfig read_qwen2(const Json& json, std::string_view where) {
  TextConfig defaults;
  defaults.vocab_size = 151936;
  defaults.max_position_embeddings = 32768;
  defaults.layers = LlamaLayers{.intermediate_size = 22016,
                                .rope = {},
                                .attention_bias = {true, true, true, false},
                                .kinds = {}};
  TextConfig config = read_llama_config(json, where, std::move(defaults));
  set_qwen_windows(config, json, where);
  return config;
}

}  // namespace

extern const TextFamily kQwen2{
    {"qwen2", "Qwen2ForCausalLM", read_qwen2}, build_llama_table, decode_llama};

}  // namespace lorapress
