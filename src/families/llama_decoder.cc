#include "families/llama_decoder.h"

#include "base/fail.h"
#include "blocks/attention.h"
#include "blocks/mlp.h"
#include "blocks/norm.h"
#include "checkpoint/config_fields.h"
#include "families/linear_weights.h"
#include "families/rope_frequencies.h"

namespace lorapress {
namespace {

using namespace config_fields;

constexpr int64_t kMostRotary =
    1 << 26;  // positions x head_dim: both tables are computed when a graph is loaded

const std::string kRoot = "language_model.model";

const LlamaLayers& layers_of(const TextConfig& config) {
  return std::get<LlamaLayers>(config.layers);
}

RopeConfig read_rope(const Json& json, int64_t max_positions, std::string_view where) {
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

NormWeights take_norm(WeightTaker& weights, const std::string& name, const TextConfig& config) {
  return {name,
          weights.take(name + ".weight", {config.hidden_size}),
          nullptr,
          layers_of(config).rms_norm_eps};
}

AttentionWeights take_attention(WeightTaker& weights,
                                const std::string& name,
                                const TextConfig& config) {
  const int64_t query = config.num_attention_heads * config.head_dim;
  const int64_t key = config.num_key_value_heads * config.head_dim;
  const AttentionBiases& biased = layers_of(config).attention_bias;
  return {name,
          take_linear(weights, name + ".q_proj", query, config.hidden_size, biased.q),
          take_linear(weights, name + ".k_proj", key, config.hidden_size, biased.k),
          take_linear(weights, name + ".v_proj", key, config.hidden_size, biased.v),
          take_linear(weights, name + ".o_proj", config.hidden_size, query, biased.o)};
}

Value build_mlp(const Builder& b,
                WeightTaker& weights,
                const std::string& name,
                const std::string& scope,
                const TextConfig& config,
                const Value& x) {
  const int64_t hidden = config.hidden_size;
  const int64_t wide = layers_of(config).intermediate_size;
  const bool biased = layers_of(config).mlp_bias;
  return swiglu_mlp(b,
                    scope,
                    x,
                    take_linear(weights, name + ".gate_proj", wide, hidden, biased),
                    take_linear(weights, name + ".up_proj", wide, hidden, biased),
                    take_linear(weights, name + ".down_proj", hidden, wide, biased));
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
  layers.rms_norm_eps = positive(json, "rms_norm_eps", layers.rms_norm_eps, where);
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
  layers.rope = read_rope(json, config.max_position_embeddings, where);
  config.tie_word_embeddings =
      json_or<bool>(json, "tie_word_embeddings", config.tie_word_embeddings, where);
  config.eos_token_ids = token_ids(json, "eos_token_id", where);
  config.bos_token_id = token_id(json, "bos_token_id", where);
  config.pad_token_id = token_id(json, "pad_token_id", where);
  require_activation(json, "silu", where);
  return config;
}

Value build_llama_table(const Builder& b, WeightTaker& weights, const TextConfig& config) {
  const std::string name = kRoot + ".embed_tokens.weight";
  return b.weight(name, weights.take(name, {config.vocab_size, config.hidden_size}));
}

//  embeddings ── [ norm ── attention ── + ── norm ── mlp ── + ] x layers ── norm ── lm_head
// After the last attention only the last position is computed, since only it reaches the logits.
DecoderOutput decode_llama(const Builder& b,
                           WeightTaker& weights,
                           const TextConfig& config,
                           const DecoderInputs& inputs) {
  const Rope rotary = rope(b,
                           "language_model.rotary",
                           inverse_frequencies(layers_of(config).rope, config.head_dim),
                           config.max_position_embeddings);
  const CausalContext context =
      causal_context(b,
                     "/decoder",
                     inputs.embeddings,
                     inputs.past.at(0).key,
                     {config.num_attention_heads, config.num_key_value_heads, config.head_dim},
                     rotary);
  const auto layer_name = [](int64_t layer) { return kRoot + ".layers." + std::to_string(layer); };
  DecoderOutput output;
  Value hidden_states = inputs.embeddings;
  Value normalized = rms_norm(b,
                              "/decoder/layers.0/input_layernorm",
                              hidden_states,
                              take_norm(weights, layer_name(0) + ".input_layernorm", config));
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string name = layer_name(layer);
    const std::string scope = "/decoder/layers." + std::to_string(layer);
    const bool last = layer + 1 == config.num_hidden_layers;
    const AttentionWeights attention = take_attention(weights, name + ".self_attn", config);
    CausalOutput attended = causal_attention(b,
                                             scope + "/self_attn",
                                             normalized,
                                             attention,
                                             inputs.past.at(static_cast<size_t>(layer)),
                                             context);
    output.present.push_back(attended.present);
    if (last) {
      attended.attended = last_position(b, scope + "/last_attended", attended.attended);
      hidden_states = last_position(b, scope + "/last_stream", hidden_states);
    }
    const Value projected =
        linear(b, scope + "/self_attn/o_proj", attended.attended, attention.out);
    const Residual middle =
        skip_rms_norm(b,
                      scope + "/post_attention_layernorm",
                      hidden_states,
                      projected,
                      take_norm(weights, name + ".post_attention_layernorm", config));
    const Value up =
        build_mlp(b, weights, name + ".mlp", scope + "/mlp", config, middle.normalized);
    const std::string next = last ? kRoot + ".norm" : layer_name(layer + 1) + ".input_layernorm";
    const std::string next_scope =
        last ? "/decoder/norm"
             : "/decoder/layers." + std::to_string(layer + 1) + "/input_layernorm";
    const Residual end =
        skip_rms_norm(b, next_scope, middle.sum, up, take_norm(weights, next, config));
    normalized = end.normalized;
    hidden_states = end.sum;
  }
  Value head = inputs.table;
  if (!config.tie_word_embeddings) {
    const std::string name = "language_model.lm_head.weight";
    head = b.weight(name, weights.take(name, {config.vocab_size, config.hidden_size}));
  }
  output.logits = lm_head(b, "/decoder/lm_head", normalized, head);
  return output;
}

}  // namespace lorapress
