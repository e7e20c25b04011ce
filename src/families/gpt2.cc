// GPT-2 and DistilGPT-2, transformers configuration_gpt2.py and modeling_gpt2.py (GPT2LMHeadModel):
// learned positions, a norm before each sublayer, and linear layers that are stored [in, out]
// (Conv1D), those of queries, keys and values as one.
#include <array>
#include <fmt/format.h>

#include "checkpoint/config_fields.h"
#include "families/layer_norm_decoder.h"
#include "families/linear_weights.h"

namespace lorapress {
namespace {

using namespace config_fields;

constexpr std::array<std::string_view, 6> kGpt2Activations = {
    "gelu_new", "gelu", "gelu_pytorch_tanh", "gelu_fast", "quick_gelu", "relu"};
constexpr std::array<NamePrefix, 5> kGpt2Prefixes = {{{"transformer.", "transformer."},
                                                      {"h.", "transformer.h."},
                                                      {"wte.", "transformer.wte."},
                                                      {"wpe.", "transformer.wpe."},
                                                      {"ln_f.", "transformer.ln_f."}}};
constexpr std::array<std::string_view, 4> kGpt2Conv1d = {".c_attn", ".q_attn", ".c_proj", ".c_fc"};
// The causal masks of the attentions.
constexpr std::array<std::string_view, 2> kGpt2Buffers = {".attn.bias", ".crossattention.bias"};

TextConfig read_gpt2(const Json& json, std::string_view where) {
  TextConfig config = read_decoder_sizes(json,
                                         where,
                                         {{"vocab_size", 50257},
                                          {"n_embd", 768},
                                          {"n_layer", 12},
                                          {"n_head", 12},
                                          {"n_positions", 1024}});
  config.eos_token_ids = {50256};
  config.bos_token_id = 50256;
  read_special_tokens(json, where, config);
  LayerNormLayers layers;
  layers.intermediate_size = dimension(json, "n_inner", 4 * config.hidden_size, where);
  layers.layer_norm_eps = positive(json, "layer_norm_epsilon", 1e-5, where);
  layers.activation = activation(json, kGpt2Activations, where, "activation_function");
  layers.scaled_scores = json_or<bool>(json, "scale_attn_weights", true, where);
  layers.scaled_by_layer = json_or<bool>(json, "scale_attn_by_inverse_layer_idx", false, where);
  // reorder_and_upcast_attn computes the same in float32.
  if (json_or<bool>(json, "add_cross_attention", false, where)) {
    layers.cross_width = config.hidden_size;
  }
  config.layers = std::move(layers);
  return config;
}

LayerNormLayer take_gpt2_layer(WeightTaker& weights,
                               const std::string& name,
                               const TextConfig& config) {
  const int64_t hidden = config.hidden_size;
  const int64_t wide = layer_norm_layers(config).intermediate_size;
  const int64_t seen = layer_norm_layers(config).cross_width;
  const auto norm = [&](const std::string& part) {
    return take_decoder_norm(weights, name + part, config);
  };
  const auto take = [&](const std::string& part, int64_t out, int64_t in) {
    return take_conv1d(weights, name + part, out, in);
  };
  AttentionWeights attention;
  attention.name = name + ".attn";
  attention.packed = take(".attn.c_attn", 3 * hidden, hidden);
  attention.out = take(".attn.c_proj", hidden, hidden);
  std::optional<CrossSublayer> cross;
  if (seen != 0) {
    cross = CrossSublayer{norm(".ln_cross_attn"),
                          {take(".crossattention.q_attn", hidden, hidden),
                           take(".crossattention.c_attn", 2 * hidden, seen),
                           take(".crossattention.c_proj", hidden, hidden)}};
  }
  return {norm(".ln_1"),
          std::move(attention),
          std::move(cross),
          norm(".ln_2"),
          take(".mlp.c_fc", wide, hidden),
          take(".mlp.c_proj", hidden, wide)};
}

DecoderOutput decode_gpt2(const Builder& b,
                          WeightTaker& weights,
                          const TextConfig& config,
                          const DecoderInputs& inputs) {
  const std::string root = "language_model.transformer";
  LayerNormParts parts;
  parts.position_name = root + ".wpe.weight";
  parts.positions =
      weights.take(parts.position_name, {config.max_position_embeddings, config.hidden_size});
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    parts.layers.push_back(take_gpt2_layer(weights, fmt::format("{}.h.{}", root, i), config));
  }
  parts.last_norm = take_decoder_norm(weights, root + ".ln_f", config);
  return decode_layer_norm(b, weights, config, parts, inputs);
}

}  // namespace

extern const TextFamily kGpt2{
    {"gpt2",
     "GPT2LMHeadModel",
     read_gpt2,
     {"transformer.wte", "lm_head", kGpt2Prefixes, kGpt2Conv1d, kGpt2Buffers},
     CrossAttention::kOptional},
    build_input_table,
    decode_gpt2};

}  // namespace lorapress
