// SmolLM3, transformers configuration_smollm3.py and modeling_smollm3.py: a Llama in which every
// fourth layer does not rotate queries and keys.
#include "base/fail.h"
#include "checkpoint/config_fields.h"
#include "families/llama_decoder.h"

namespace lorapress {
namespace {

// "no_rope_layers" says 1 for layers that rotate and 0 for the others; where it is absent, each
// no_rope_layer_interval-th does not.
void set_rotated(TextConfig& config, const Json& json, std::string_view where) {
  auto& kinds = std::get<LlamaLayers>(config.layers).kinds;
  kinds.resize(static_cast<size_t>(config.num_hidden_layers));
  const auto found = json.find("no_rope_layers");
  const bool listed = found != json.end() && !found->is_null();
  if (listed &&
      (!found->is_array() || found->size() < kinds.size() ||
       !std::ranges::all_of(*found, [](const Json& value) { return value == 0 || value == 1; }))) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"no_rope_layers\" is not a list of 0 or 1 for each of {} layers",
         where,
         kinds.size());
  }
  const int64_t interval = config_fields::count(json, "no_rope_layer_interval", 4, where);
  for (size_t layer = 0; layer < kinds.size(); ++layer) {
    kinds[layer].rotated =
        listed ? (*found)[layer] == 1 : (static_cast<int64_t>(layer) + 1) % interval != 0;
  }
}

TextConfig read_smollm3(const Json& json, std::string_view where) {
  const bool bias = json_or<bool>(json, "attention_bias", false, where);
  TextConfig defaults;
  defaults.vocab_size = 128256;
  defaults.hidden_size = 2048;
  defaults.num_hidden_layers = 36;
  defaults.num_attention_heads = 16;
  defaults.num_key_value_heads = 4;
  defaults.max_position_embeddings = 32768;
  defaults.tie_word_embeddings = true;
  defaults.layers = LlamaLayers{.intermediate_size = 11008,
                                .rope = {.rope_theta = 2000000.0, .short_factor = {}},
                                .attention_bias = {bias, bias, bias, bias},
                                .mlp_bias = json_or<bool>(json, "mlp_bias", false, where),
                                .kinds = {}};
  TextConfig config = read_llama_config(json, where, std::move(defaults));
  set_rotated(config, json, where);
  // Without layer_types, use_sliding_window gives a window to the layers that do not rotate.
  const auto& kinds = std::get<LlamaLayers>(config.layers).kinds;
  const bool used = json_or<bool>(json, "use_sliding_window", false, where);
  set_windows(config, json, where, read_window(json, where, 0), [&](int64_t layer) {
    return used && !kinds[static_cast<size_t>(layer)].rotated;
  });
  return config;
}

}  // namespace

extern const TextFamily kSmollm3{
    {"smollm3", "SmolLM3ForCausalLM", read_smollm3}, build_llama_table, decode_llama};

}  // namespace lorapress
