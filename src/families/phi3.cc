// Phi-3, Phi-3.5 and Phi-4-mini, transformers configuration_phi3.py and modeling_phi3.py: a Llama
// with one product for queries, keys and values and one for both halves of the gated MLP, heads of
// which only a part may be rotated, and longrope.
#include "base/fail.h"
#include "families/llama_decoder.h"

namespace lorapress {
namespace {

// As Phi3Config reads it: "su" and "yarn" of the first files are longrope, and
// original_max_position_embeddings is a key of its own, with a default.
Json phi3_rope(Json json) {
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const auto fields = json.find(key);
    if (fields == json.end() || !fields->is_object()) {
      continue;
    }
    for (const char* type : {"rope_type", "type"}) {
      const auto found = fields->find(type);
      if (found != fields->end() && (*found == "su" || *found == "yarn")) {
        *found = "longrope";
      }
    }
  }
  if (!json.contains("original_max_position_embeddings")) {
    json["original_max_position_embeddings"] = 4096;
  }
  return json;
}

TextConfig read_phi3(const Json& json, std::string_view where) {
  TextConfig defaults;
  defaults.vocab_size = 32064;
  defaults.hidden_size = 3072;
  defaults.num_key_value_heads = 0;
  defaults.max_position_embeddings = 4096;
  defaults.layers = LlamaLayers{.intermediate_size = 8192,
                                .rms_norm_eps = 1e-5,
                                .rope = {.partial = true, .short_factor = {}},
                                .fused_projections = true,
                                .kinds = {}};
  TextConfig config = read_llama_config(phi3_rope(json), where, std::move(defaults));
  const std::string& type = std::get<LlamaLayers>(config.layers).rope.rope_type;
  if (type != "default" && type != "longrope") {
    fail(ErrorCode::kUnsupported,
         "{}: rope_type \"{}\" is not supported for phi3 (default and longrope are)",
         where,
         type);
  }
  set_windows(config, json, where, read_window(json, where, 0), [](int64_t) { return true; });
  return config;
}

}  // namespace

extern const TextFamily kPhi3{
    {"phi3", "Phi3ForCausalLM", read_phi3}, build_llama_table, decode_llama};

}  // namespace lorapress
