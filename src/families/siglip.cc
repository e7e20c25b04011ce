// SigLIP and SigLIP 2 vision towers, transformers configuration_siglip.py and modeling_siglip.py
// (SiglipVisionTransformer). Only the hidden state after post_layernorm is used; the pooling head
// is not used.
#include <array>

#include "base/fail.h"
#include "blocks/attention.h"
#include "blocks/mlp.h"
#include "blocks/norm.h"
#include "blocks/patch_embed.h"
#include "checkpoint/config_fields.h"
#include "families/family.h"
#include "families/linear_weights.h"
#include "families/siglip_tower.h"

namespace lorapress {
namespace {

using namespace config_fields;

constexpr std::array<std::string_view, 1> kUnusedPrefixes = {"vision_encoder.head."};

NormWeights take_norm(WeightTaker& weights, const std::string& name, const VisionConfig& config) {
  return {name,
          weights.take(name + ".weight", {config.hidden_size}),
          weights.take(name + ".bias", {config.hidden_size}),
          config.layer_norm_eps};
}

AttentionWeights take_attention(WeightTaker& weights, const std::string& name, int64_t hidden) {
  return {name,
          take_linear(weights, name + ".q_proj", hidden, hidden, true),
          take_linear(weights, name + ".k_proj", hidden, hidden, true),
          take_linear(weights, name + ".v_proj", hidden, hidden, true),
          take_linear(weights, name + ".out_proj", hidden, hidden, true)};
}

VisionConfig read_siglip(const Json& json, std::string_view where) {
  return read_siglip_config(json, where, {});
}

Value build(const Builder& b,
            WeightTaker& weights,
            const VisionConfig& config,
            const Value& pixel_values) {
  return build_siglip(b, weights, config, pixel_values, {});
}

}  // namespace

VisionConfig read_siglip_config(const Json& json, std::string_view where, VisionConfig config) {
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

//  pixels ── patch_embed ── [ norm ── attention ── + ── norm ── mlp ── + ] x layers ── post_layernorm
Value build_siglip(const Builder& b,
                   WeightTaker& weights,
                   const VisionConfig& config,
                   const Value& pixel_values,
                   const TowerPositions& tower) {
  const std::string root = "vision_encoder";
  const int64_t hidden = config.hidden_size;
  const std::string patch = root + ".embeddings.patch_embedding";
  const std::string positions = root + ".embeddings.position_embedding.weight";
  const PatchEmbedWeights embedding{
      {patch,
       weights.take(patch + ".weight",
                    {hidden, config.num_channels, config.patch_size, config.patch_size}),
       weights.take(patch + ".bias", {hidden})},
      positions,
      weights.take(positions, {config.patches(), hidden}),
      config.patch_size};
  Value hidden_states =
      patch_embed(b, "/encoder/embeddings", pixel_values, embedding, tower.position_ids);
  const auto layer_name = [&](int64_t layer) {
    return root + ".encoder.layers." + std::to_string(layer);
  };
  Value normalized = layer_norm(b,
                                "/encoder/layers.0/layer_norm1",
                                hidden_states,
                                take_norm(weights, layer_name(0) + ".layer_norm1", config));
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string name = layer_name(layer);
    const std::string scope = "/encoder/layers." + std::to_string(layer);
    const Value attended = encoder_attention(b,
                                             scope + "/self_attn",
                                             normalized,
                                             take_attention(weights, name + ".self_attn", hidden),
                                             config.num_attention_heads,
                                             tower.padding);
    const Residual middle = skip_layer_norm(b,
                                            scope + "/layer_norm2",
                                            hidden_states,
                                            attended,
                                            take_norm(weights, name + ".layer_norm2", config));
    const Value mlp =
        gelu_mlp(b,
                 scope + "/mlp",
                 middle.normalized,
                 take_linear(weights, name + ".mlp.fc1", config.intermediate_size, hidden, true),
                 take_linear(weights, name + ".mlp.fc2", hidden, config.intermediate_size, true),
                 Gelu::kTanh);
    const bool last = layer + 1 == config.num_hidden_layers;
    const std::string next =
        last ? root + ".post_layernorm" : layer_name(layer + 1) + ".layer_norm1";
    const std::string next_scope =
        last ? "/encoder/post_layernorm"
             : "/encoder/layers." + std::to_string(layer + 1) + "/layer_norm1";
    const Residual end =
        skip_layer_norm(b, next_scope, middle.sum, mlp, take_norm(weights, next, config));
    normalized = end.normalized;
    hidden_states = end.sum;
  }
  return normalized;
}

extern const VisionFamily kSiglip{{"siglip_vision_model",
                                   "siglip",
                                   read_siglip,
                                   kUnusedPrefixes,
                                   "SiglipImageProcessor",
                                   "bicubic",
                                   0.5F,
                                   0.5F},
                                  build};

}  // namespace lorapress
