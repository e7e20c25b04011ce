// SigLIP and SigLIP 2 vision towers, transformers configuration_siglip.py and modeling_siglip.py
// (SiglipVisionTransformer). Only the hidden state after post_layernorm is used; the pooling head
// is not used.
#include <array>

#include "families/encoder.h"
#include "families/siglip_tower.h"

namespace lorapress {
namespace {

constexpr std::array<std::string_view, 1> kSiglipUnusedPrefixes = {"vision_encoder.head."};
constexpr std::array<std::string_view, 1> kSiglipActivations = {"gelu_pytorch_tanh"};

VisionConfig read_siglip(const Json& json, std::string_view where) {
  return read_siglip_config(json, where, {});
}

Value build_siglip_tower(const Builder& b,
                         WeightTaker& weights,
                         const VisionConfig& config,
                         const Value& pixel_values) {
  return build_siglip(b, weights, config, pixel_values, {});
}

}  // namespace

VisionConfig read_siglip_config(const Json& json, std::string_view where, VisionConfig defaults) {
  return read_encoder_config(json, defaults, kSiglipActivations, where);
}

//  pixels ── patch_embed ── layers ── post_layernorm
Value build_siglip(const Builder& b,
                   WeightTaker& weights,
                   const VisionConfig& config,
                   const Value& pixel_values,
                   const TowerPositions& tower) {
  const std::string root = "vision_encoder";
  const int64_t hidden = config.hidden_size;
  const std::string positions = root + ".embeddings.position_embedding.weight";
  const PatchEmbedWeights embedding{
      take_patch_kernel(weights, root + ".embeddings.patch_embedding", config, true),
      positions,
      weights.take(positions, {config.patches(), hidden}),
      config.patch_size,
      config.image_size};
  const Value embedded =
      patch_embed(b, "/encoder/embeddings", pixel_values, embedding, tower.position_ids);
  return encoder_layers(b,
                        embedded,
                        take_clip_layers(weights, config),
                        take_last_norm(weights, root + ".post_layernorm", config),
                        config,
                        tower.padding);
}

extern const VisionFamily kSiglip{{"siglip_vision_model",
                                   "siglip",
                                   read_siglip,
                                   kSiglipUnusedPrefixes,
                                   {"SiglipImageProcessor", "bicubic", kHalf, kHalf},
                                   {}},
                                  build_siglip_tower};

}  // namespace lorapress
