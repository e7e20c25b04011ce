// CLIP vision towers, transformers configuration_clip.py and modeling_clip.py (CLIPVisionModel): a
// class token, a LayerNorm before the layers, and last_hidden_state before post_layernorm, which
// only the pooled output sees.
#include <array>

#include "families/encoder.h"

namespace lorapress {
namespace {

constexpr std::array<std::string_view, 1> kClipUnusedPrefixes = {"vision_encoder.post_layernorm."};
constexpr std::array<std::string_view, 2> kClipActivations = {"quick_gelu", "gelu"};

VisionConfig read_clip(const Json& json, std::string_view where) {
  VisionConfig defaults;
  defaults.patch_size = 32;
  defaults.layer_norm_eps = 1e-5;
  defaults.class_tokens = 1;
  return read_encoder_config(json, defaults, kClipActivations, where);
}

//  pixels ── patch_embed with class token ── pre_layrnorm ── layers
Value build_clip_tower(const Builder& b,
                       WeightTaker& weights,
                       const VisionConfig& config,
                       const Value& pixel_values) {
  const std::string root = "vision_encoder";
  const int64_t hidden = config.hidden_size;
  const std::string positions = root + ".embeddings.position_embedding.weight";
  const std::string class_name = root + ".embeddings.class_embedding";
  const PatchEmbedWeights embedding{
      take_patch_kernel(weights, root + ".embeddings.patch_embedding", config, false),
      positions,
      weights.take(positions, {config.patches() + 1, hidden}),
      config.patch_size,
      config.image_size,
      {class_name, reshape(weights.take(class_name, {hidden}), {1, hidden})},
      {}};
  const Value embedded = patch_embed(b, "/encoder/embeddings", pixel_values, embedding);
  const Value normalized = layer_norm(b,
                                      "/encoder/pre_layrnorm",
                                      embedded,
                                      take_layer_norm(weights, root + ".pre_layrnorm", config));
  return encoder_layers(b, normalized, take_clip_layers(weights, config), std::nullopt, config);
}

}  // namespace

extern const VisionFamily kClip{{"clip_vision_model",
                                 "clip",
                                 read_clip,
                                 kClipUnusedPrefixes,
                                 {"CLIPImageProcessor", "bicubic", kClipMean, kClipStd, 1.0},
                                 {}},
                                build_clip_tower};

}  // namespace lorapress
