#include "checkpoint/config.h"

#include "base/fail.h"

namespace lorapress {
namespace {

constexpr int64_t kMostWide = 1 << 24;    // of one dimension: products stay far from overflow
constexpr int64_t kMostCount = 4096;      // of layers and heads: each costs nodes and memory
constexpr int64_t kMostRotary = 1 << 26;  // positions x head_dim: both tables are written out

// Refuses zero, negative and absurd numbers.
int64_t dimension(const Json& json,
                  std::string_view key,
                  int64_t fallback,
                  std::string_view where,
                  int64_t most = kMostWide) {
  const auto value = json_or<int64_t>(json, key, fallback, where);
  if (value < 1 || value > most) {
    fail(ErrorCode::kInvalidFile, "{}: \"{}\" is {}, expected 1 to {}", where, key, value, most);
  }
  return value;
}

int64_t count(const Json& json, std::string_view key, int64_t fallback, std::string_view where) {
  return dimension(json, key, fallback, where, kMostCount);
}

double positive(const Json& json, std::string_view key, double fallback, std::string_view where) {
  const auto value = json_or<double>(json, key, fallback, where);
  constexpr double kLeast = 1e-30;  // inside float32, with room for a product
  constexpr double kMost = 1e30;
  if (!(value >= kLeast && value <= kMost)) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"{}\" is {}, expected a positive number up to {}",
         where,
         key,
         value,
         kMost);
  }
  return value;
}

void require_activation(const Json& json, std::string_view known, std::string_view where) {
  const auto name = json_or<std::string>(json, "hidden_act", std::string(known), where);
  if (name != known) {
    fail(ErrorCode::kUnsupported,
         "{}: hidden_act \"{}\" is not supported, expected \"{}\"",
         where,
         name,
         known);
  }
}

void require_divisible(int64_t value, int64_t by, std::string_view what, std::string_view where) {
  if (value % by != 0) {
    fail(ErrorCode::kInvalidFile, "{}: {}: {} is not a multiple of {}", where, what, value, by);
  }
}

RopeConfig parse_rope(const Json& json, int64_t max_positions, std::string_view where) {
  RopeConfig rope;
  rope.rope_theta = positive(json, "rope_theta", rope.rope_theta, where);
  // transformers 5 writes one "rope_parameters", older versions "rope_theta" and "rope_scaling".
  const auto newer = json.find("rope_parameters");
  const auto older = json.find("rope_scaling");
  const Json* scaling = newer != json.end() && newer->is_object()   ? &*newer
                        : older != json.end() && older->is_object() ? &*older
                                                                    : nullptr;
  if (scaling == nullptr) {
    return rope;
  }
  rope.rope_theta = positive(*scaling, "rope_theta", rope.rope_theta, where);
  const auto type = json_or<std::string>(*scaling, "type", "default", where);
  rope.rope_type = json_or<std::string>(*scaling, "rope_type", type, where);
  if (rope.rope_type != "default" && rope.rope_type != "linear" && rope.rope_type != "llama3") {
    fail(ErrorCode::kUnsupported,
         "{}: rope_type \"{}\" is not supported (default, linear and llama3 are)",
         where,
         rope.rope_type);
  }
  rope.factor = positive(*scaling, "factor", 1.0, where);
  rope.low_freq_factor = positive(*scaling, "low_freq_factor", 1.0, where);
  rope.high_freq_factor = positive(*scaling, "high_freq_factor", 4.0, where);
  rope.original_max_position_embeddings =
      dimension(*scaling, "original_max_position_embeddings", max_positions, where);
  if (rope.rope_type == "llama3" && rope.high_freq_factor <= rope.low_freq_factor) {
    fail(ErrorCode::kInvalidFile,
         "{}: high_freq_factor {} is not above low_freq_factor {}",
         where,
         rope.high_freq_factor,
         rope.low_freq_factor);
  }
  return rope;
}

std::vector<int64_t> parse_ids(const Json& json, std::string_view key, std::string_view where) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) {
    return {};
  }
  std::vector<int64_t> ids;
  for (const Json& id : found->is_array() ? *found : Json::array({*found})) {
    if (!id.is_number_integer() || id < 0 || id > INT32_MAX) {
      fail(ErrorCode::kInvalidFile,
           "{}: \"{}\" holds {}, expected token ids",
           where,
           key,
           id.dump());
    }
    ids.push_back(id.get<int64_t>());
  }
  return ids;
}

int64_t parse_id(const Json& json, std::string_view key, std::string_view where) {
  const std::vector<int64_t> ids = parse_ids(json, key, where);
  return ids.empty() ? -1 : ids[0];
}

void require_model_type(std::string_view found, std::string_view known, std::string_view where) {
  if (found != known) {
    fail(ErrorCode::kUnsupported,
         "{}: model_type \"{}\" is not supported here, expected \"{}\"",
         where,
         found,
         known);
  }
}

}  // namespace

VisionConfig parse_vision_config(const Json& json, std::string_view where) {
  VisionConfig config;
  config.model_type = json_or<std::string>(json, "model_type", config.model_type, where);
  require_model_type(config.model_type, "siglip_vision_model", where);
  config.hidden_size = dimension(json, "hidden_size", config.hidden_size, where);
  config.intermediate_size = dimension(json, "intermediate_size", config.intermediate_size, where);
  config.num_hidden_layers = count(json, "num_hidden_layers", config.num_hidden_layers, where);
  config.num_attention_heads =
      count(json, "num_attention_heads", config.num_attention_heads, where);
  config.num_channels = dimension(json, "num_channels", config.num_channels, where);
  config.image_size = dimension(json, "image_size", config.image_size, where);
  config.patch_size = dimension(json, "patch_size", config.patch_size, where);
  config.layer_norm_eps = positive(json, "layer_norm_eps", config.layer_norm_eps, where);
  require_activation(json, "gelu_pytorch_tanh", where);
  require_divisible(
      config.hidden_size, config.num_attention_heads, "hidden_size by num_attention_heads", where);
  if (config.num_channels != 3) {
    fail(ErrorCode::kUnsupported,
         "{}: num_channels is {}, expected 3 (RGB)",
         where,
         config.num_channels);
  }
  if (config.image_size > 8192 || config.patch_size > config.image_size) {
    fail(ErrorCode::kInvalidFile,
         "{}: image_size {} with patch_size {} makes no patches",
         where,
         config.image_size,
         config.patch_size);
  }
  return config;
}

TextConfig parse_text_config(const Json& json, std::string_view where) {
  TextConfig config;
  config.model_type = json_or<std::string>(json, "model_type", config.model_type, where);
  require_model_type(config.model_type, "llama", where);
  config.vocab_size = dimension(json, "vocab_size", config.vocab_size, where);
  config.hidden_size = dimension(json, "hidden_size", config.hidden_size, where);
  config.intermediate_size = dimension(json, "intermediate_size", config.intermediate_size, where);
  config.num_hidden_layers = count(json, "num_hidden_layers", config.num_hidden_layers, where);
  config.num_attention_heads =
      count(json, "num_attention_heads", config.num_attention_heads, where);
  config.num_key_value_heads =
      count(json, "num_key_value_heads", config.num_attention_heads, where);
  if (json_or<int64_t>(json, "head_dim", 0, where) == 0) {
    require_divisible(config.hidden_size,
                      config.num_attention_heads,
                      "hidden_size by num_attention_heads",
                      where);
  }
  config.head_dim =
      dimension(json, "head_dim", config.hidden_size / config.num_attention_heads, where);
  require_divisible(config.num_attention_heads,
                    config.num_key_value_heads,
                    "num_attention_heads by num_key_value_heads",
                    where);
  require_divisible(config.head_dim, 2, "head_dim by 2 (rotary halves)", where);
  config.rms_norm_eps = positive(json, "rms_norm_eps", config.rms_norm_eps, where);
  config.max_position_embeddings =
      dimension(json, "max_position_embeddings", config.max_position_embeddings, where);
  if (config.max_position_embeddings * config.head_dim > kMostRotary) {
    fail(ErrorCode::kUnsupported,
         "{}: max_position_embeddings {} with head_dim {} makes rotary tables of more than {} "
         "numbers; lower max_position_embeddings to what you need",
         where,
         config.max_position_embeddings,
         config.head_dim,
         kMostRotary);
  }
  config.rope = parse_rope(json, config.max_position_embeddings, where);
  config.tie_word_embeddings = json_or<bool>(json, "tie_word_embeddings", false, where);
  config.attention_bias = json_or<bool>(json, "attention_bias", false, where);
  config.mlp_bias = json_or<bool>(json, "mlp_bias", false, where);
  config.eos_token_ids = parse_ids(json, "eos_token_id", where);
  config.bos_token_id = parse_id(json, "bos_token_id", where);
  config.pad_token_id = parse_id(json, "pad_token_id", where);
  require_activation(json, "silu", where);
  return config;
}

ProjectionConfig parse_projection_config(const Json& json, std::string_view where) {
  ProjectionConfig config;
  const auto type = json_or<std::string>(json, "projection_type", "linear", where);
  if (type != "linear" && type != "mlp") {
    fail(ErrorCode::kUnsupported,
         "{}: projection_type \"{}\" is not supported (linear and mlp are)",
         where,
         type);
  }
  config.type = type == "mlp" ? ProjectionType::kMlp : ProjectionType::kLinear;
  config.mlp_hidden_dim = dimension(json, "mlp_hidden_dim", config.mlp_hidden_dim, where);
  return config;
}

}  // namespace lorapress
