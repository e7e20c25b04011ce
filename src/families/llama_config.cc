// The config.json of decoders of Llama's kind.
#include <array>

#include "base/fail.h"
#include "checkpoint/config_fields.h"
#include "families/llama_decoder.h"
#include "families/rope_config.h"

namespace lorapress {
namespace {

using namespace config_fields;

constexpr int64_t kMostRotary =
    1 << 26;  // positions x head_dim: both tables are computed when a graph is loaded

// null and 0 are hidden_size / num_attention_heads; an absent key is the default of the model type.
int64_t read_head_dim(const Json& json, std::string_view where, const TextConfig& config) {
  const int64_t fallback = json.contains("head_dim") ? 0 : config.head_dim;
  if (const auto given = json_or<int64_t>(json, "head_dim", fallback, where); given != 0) {
    return dimension(json, "head_dim", given, where);
  }
  require_divisible(
      config.hidden_size, config.num_attention_heads, "hidden_size by num_attention_heads", where);
  return config.hidden_size / config.num_attention_heads;
}

// "layer_types" as whether each layer slides; empty where it is absent.
std::vector<bool> read_layer_types(const Json& json, std::string_view where, int64_t layers) {
  const auto found = json.find("layer_types");
  if (found == json.end() || found->is_null()) {
    return {};
  }
  if (!found->is_array() || std::ssize(*found) != layers) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"layer_types\" is not a list with the types of {} layers",
         where,
         layers);
  }
  std::vector<bool> slides;
  for (const Json& type : *found) {
    const bool sliding = type == "sliding_attention";
    if (!sliding && type != "full_attention") {
      fail(ErrorCode::kUnsupported,
           "{}: layer type {} is not supported (full_attention and sliding_attention are)",
           where,
           type.dump(-1, ' ', true).substr(0, 80));
    }
    slides.push_back(sliding);
  }
  return slides;
}

}  // namespace

TextConfig read_llama_config(const Json& json, std::string_view where, TextConfig config) {
  auto& layers = std::get<LlamaLayers>(config.layers);
  config.vocab_size = dimension(json, "vocab_size", config.vocab_size, where);
  config.hidden_size = dimension(json, "hidden_size", config.hidden_size, where);
  layers.intermediate_size = dimension(json, "intermediate_size", layers.intermediate_size, where);
  config.num_hidden_layers = count(json, "num_hidden_layers", config.num_hidden_layers, where);
  config.num_attention_heads =
      count(json, "num_attention_heads", config.num_attention_heads, where);
  const bool given = json.contains("num_key_value_heads") || config.num_key_value_heads == 0;
  config.num_key_value_heads =
      count(json,
            "num_key_value_heads",
            given ? config.num_attention_heads : config.num_key_value_heads,
            where);
  config.head_dim = read_head_dim(json, where, config);
  require_divisible(config.num_attention_heads,
                    config.num_key_value_heads,
                    "num_attention_heads by num_key_value_heads",
                    where);
  require_divisible(config.head_dim, 2, "head_dim by 2 (rotary halves)", where);
  layers.rms_norm_eps = positive(json, "rms_norm_eps", layers.rms_norm_eps, where);
  config.max_position_embeddings =
      dimension(json, "max_position_embeddings", config.max_position_embeddings, where);
  layers.rope = read_rope(json, where, layers.rope, config);
  if (config.max_position_embeddings * config.head_dim > kMostRotary) {
    fail(ErrorCode::kUnsupported,
         "{}: max_position_embeddings {} with head_dim {} makes rotary tables of more than {} "
         "numbers; lower max_position_embeddings to what you need",
         where,
         config.max_position_embeddings,
         config.head_dim,
         kMostRotary);
  }
  config.tie_word_embeddings =
      json_or<bool>(json, "tie_word_embeddings", config.tie_word_embeddings, where);
  config.eos_token_ids = token_ids(json, "eos_token_id", where);
  config.bos_token_id = token_id(json, "bos_token_id", where);
  config.pad_token_id = token_id(json, "pad_token_id", where);
  require_activation(json, "silu", where);
  return config;
}

int64_t read_window(const Json& json, std::string_view where, int64_t fallback) {
  const auto found = json.find("sliding_window");
  if (found == json.end() ? fallback == 0 : found->is_null()) {
    return 0;
  }
  return dimension(json, "sliding_window", fallback, where, int64_t{1} << 40);
}

void set_windows(TextConfig& config,
                 const Json& json,
                 std::string_view where,
                 int64_t window,
                 const std::function<bool(int64_t layer)>& slides) {
  auto& kinds = std::get<LlamaLayers>(config.layers).kinds;
  kinds.resize(static_cast<size_t>(config.num_hidden_layers));
  const std::vector<bool> types = read_layer_types(json, where, config.num_hidden_layers);
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const auto at = static_cast<size_t>(layer);
    if (types.empty() ? window == 0 || !slides(layer) : !types[at]) {
      continue;
    }
    if (window == 0) {
      fail(ErrorCode::kInvalidFile,
           "{}: layer {} is of type sliding_attention, but there is no sliding_window",
           where,
           layer);
    }
    kinds[at].window = window < config.max_position_embeddings ? window : 0;
  }
}

}  // namespace lorapress
