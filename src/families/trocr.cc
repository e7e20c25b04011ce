// TrOCR's decoder, transformers configuration_trocr.py and modeling_trocr.py (TrOCRForCausalLM): norms
// behind the sublayers, cross attention in every layer, positions that are learned or sinusoids.
#include <array>
#include <cmath>

#include "base/fail.h"
#include "checkpoint/config_fields.h"
#include "families/layer_norm_decoder.h"

namespace lorapress {
namespace {

using namespace config_fields;

constexpr std::array<std::string_view, 6> kTrocrActivations = {
    "gelu", "relu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "quick_gelu"};
constexpr std::array<NamePrefix, 1> kTrocrPrefixes = {
    {{"output_projection.", "output_projection."}}};
constexpr int64_t kTrocrOffset = 2;  // TrOCRLearnedPositionalEmbedding

TextConfig read_trocr(const Json& json, std::string_view where) {
  TextConfig config = read_decoder_sizes(json,
                                         where,
                                         {{"vocab_size", 50265},
                                          {"d_model", 1024},
                                          {"decoder_layers", 12},
                                          {"decoder_attention_heads", 16},
                                          {"max_position_embeddings", 512}});
  config.eos_token_ids = {2};
  config.bos_token_id = 0;
  config.pad_token_id = 1;
  config.decoder_start_token_id = 2;
  read_special_tokens(json, where, config);
  LayerNormLayers layers;
  layers.intermediate_size = dimension(json, "decoder_ffn_dim", 4096, where);
  layers.activation = activation(json, kTrocrActivations, where, "activation_function");
  layers.norm_first = false;
  layers.last_norm = false;
  layers.embedding_norm = json_or<bool>(json, "layernorm_embedding", true, where);
  if (json_or<bool>(json, "scale_embedding", false, where)) {
    layers.embedding_scale = std::sqrt(static_cast<double>(config.hidden_size));
  }
  layers.position_offset = kTrocrOffset;
  if (!json_or<bool>(json, "use_learned_position_embeddings", true, where)) {
    if (config.pad_token_id < 0 || config.hidden_size < 4 || config.hidden_size % 2 != 0) {
      fail(ErrorCode::kUnsupported,
           "{}: use_learned_position_embeddings is false, which needs a pad_token_id and an even "
           "d_model of at least 4",
           where);
    }
    layers.sinusoid_padding = config.pad_token_id;
  }
  // What keys and values are computed from, where that is not hidden states of d_model.
  layers.cross_width = dimension(json, "cross_attention_hidden_size", config.hidden_size, where);
  config.layers = std::move(layers);
  return config;
}

constexpr LayerNormNames kTrocrLayer{.attention = ".self_attn",
                                     .q = ".self_attn.q_proj",
                                     .k = ".self_attn.k_proj",
                                     .v = ".self_attn.v_proj",
                                     .out = ".self_attn.out_proj",
                                     .attention_norm = ".self_attn_layer_norm",
                                     .up = ".fc1",
                                     .down = ".fc2",
                                     .mlp_norm = ".final_layer_norm",
                                     .cross = ".encoder_attn",
                                     .cross_q = ".encoder_attn.q_proj",
                                     .cross_k = ".encoder_attn.k_proj",
                                     .cross_v = ".encoder_attn.v_proj",
                                     .cross_out = ".encoder_attn.out_proj",
                                     .cross_norm = ".encoder_attn_layer_norm"};

DecoderOutput decode_trocr(const Builder& b,
                           WeightTaker& weights,
                           const TextConfig& config,
                           const DecoderInputs& inputs) {
  const std::string root = "language_model.model.decoder";
  const LayerNormLayers& layers = layer_norm_layers(config);
  LayerNormParts parts;
  if (!layers.sinusoid_padding) {
    parts.position_name = root + ".embed_positions.weight";
    parts.positions = weights.take(
        parts.position_name, {config.max_position_embeddings + kTrocrOffset, config.hidden_size});
  }
  if (layers.embedding_norm) {
    parts.embedding_norm = take_decoder_norm(weights, root + ".layernorm_embedding", config);
  }
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    parts.layers.push_back(
        take_layer_norm_layer(weights, fmt::format("{}.layers.{}", root, i), config, kTrocrLayer));
  }
  return decode_layer_norm(b, weights, config, parts, inputs);
}

}  // namespace

extern const TextFamily kTrocr{{"trocr",
                                "TrOCRForCausalLM",
                                read_trocr,
                                {"model.decoder.embed_tokens", "output_projection", kTrocrPrefixes},
                                CrossAttention::kAlways},
                               build_input_table,
                               decode_trocr};

}  // namespace lorapress
