// Qwen2 and Qwen2.5, transformers configuration_qwen2.py and modeling_qwen2.py: a Llama whose
// queries, keys and values have biases.
#include <algorithm>

#include "base/fail.h"
#include "families/llama_decoder.h"

namespace lorapress {
namespace {

// Some layers of such a model see only the last positions; the graph has full attention.
void refuse_sliding_window(const Json& json, std::string_view where) {
  const auto types = json.find("layer_types");
  const bool slides = types != json.end() && types->is_array() &&
                      std::ranges::find(*types, Json("sliding_attention")) != types->end();
  if (slides || json_or<bool>(json, "use_sliding_window", false, where)) {
    fail(ErrorCode::kUnsupported,
         "{}: a sliding window (use_sliding_window or layer_types) is not supported, expected full "
         "attention in every layer",
         where);
  }
}

TextConfig read_qwen2(const Json& json, std::string_view where) {
  refuse_sliding_window(json, where);
  TextConfig defaults;
  defaults.vocab_size = 151936;
  defaults.max_position_embeddings = 32768;
  defaults.layers = LlamaLayers{
      .intermediate_size = 22016, .rope = {}, .attention_bias = {true, true, true, false}};
  return read_llama_config(json, where, std::move(defaults));
}

}  // namespace

extern const TextFamily kQwen2{
    {"qwen2", "Qwen2ForCausalLM", read_qwen2}, build_llama_table, decode_llama};

}  // namespace lorapress
