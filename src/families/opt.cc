// OPT, transformers configuration_opt.py and modeling_opt.py (OPTForCausalLM): learned positions
// behind two unused rows, norms before or behind the sublayers, embeddings that may be narrower
// than the layers.
#include <array>
#include <fmt/format.h>

#include "checkpoint/config_fields.h"
#include "families/layer_norm_decoder.h"
#include "families/linear_weights.h"

namespace lorapress {
namespace {

using namespace config_fields;

constexpr std::array<std::string_view, 6> kOptActivations = {
    "relu", "gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "quick_gelu"};
// facebook's own files have the names inside OPTModel.
constexpr std::array<NamePrefix, 1> kOptPrefixes = {{{"decoder.", "model.decoder."}}};
constexpr int64_t kOptOffset = 2;  // OPTLearnedPositionalEmbedding

TextConfig read_opt(const Json& json, std::string_view where) {
  TextConfig config = read_decoder_sizes(json,
                                         where,
                                         {{"vocab_size", 50272},
                                          {"hidden_size", 768},
                                          {"num_hidden_layers", 12},
                                          {"num_attention_heads", 12},
                                          {"max_position_embeddings", 2048}});
  config.embedding_size = dimension(json, "word_embed_proj_dim", config.hidden_size, where);
  config.eos_token_ids = {2};
  config.bos_token_id = 2;
  config.pad_token_id = 1;
  read_special_tokens(json, where, config);
  LayerNormLayers layers;
  layers.intermediate_size = dimension(json, "ffn_dim", 3072, where);
  layers.activation = activation(json, kOptActivations, where, "activation_function");
  layers.norm_first = json_or<bool>(json, "do_layer_norm_before", true, where);
  layers.last_norm =
      layers.norm_first && !json_or<bool>(json, "_remove_final_layer_norm", false, where);
  layers.affine_norms = json_or<bool>(json, "layer_norm_elementwise_affine", true, where);
  layers.linear_bias = json_or<bool>(json, "enable_bias", true, where);
  layers.position_offset = kOptOffset;
  config.layers = std::move(layers);
  return config;
}

constexpr LayerNormNames kOptLayer{.attention = ".self_attn",
                                   .q = ".self_attn.q_proj",
                                   .k = ".self_attn.k_proj",
                                   .v = ".self_attn.v_proj",
                                   .out = ".self_attn.out_proj",
                                   .attention_norm = ".self_attn_layer_norm",
                                   .up = ".fc1",
                                   .down = ".fc2",
                                   .mlp_norm = ".final_layer_norm"};

DecoderOutput decode_opt(const Builder& b,
                         WeightTaker& weights,
                         const TextConfig& config,
                         const DecoderInputs& inputs) {
  const std::string root = "language_model.model.decoder";
  const int64_t hidden = config.hidden_size;
  const int64_t narrow = config.embedding_width();
  LayerNormParts parts;
  parts.position_name = root + ".embed_positions.weight";
  parts.positions =
      weights.take(parts.position_name, {config.max_position_embeddings + kOptOffset, hidden});
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    parts.layers.push_back(
        take_layer_norm_layer(weights, fmt::format("{}.layers.{}", root, i), config, kOptLayer));
  }
  if (layer_norm_layers(config).last_norm) {
    parts.last_norm = take_decoder_norm(weights, root + ".final_layer_norm", config);
  }
  if (narrow != hidden) {
    parts.project_in = take_linear(weights, root + ".project_in", hidden, narrow, false);
    parts.project_out = take_linear(weights, root + ".project_out", narrow, hidden, false);
  }
  return decode_layer_norm(b, weights, config, parts, inputs);
}

}  // namespace

extern const TextFamily kOpt{
    {"opt", "OPTForCausalLM", read_opt, {"model.decoder.embed_tokens", "lm_head", kOptPrefixes}},
    build_input_table,
    decode_opt};

}  // namespace lorapress
