// What vision transformers share: the fields of their configs, and layers of attention and MLP with
// a LayerNorm before each (ViT, CLIP, SigLIP, DINOv2).
#ifndef LORAPRESS_FAMILIES_ENCODER_H_
#define LORAPRESS_FAMILIES_ENCODER_H_

#include <optional>
#include <string>
#include <vector>

#include "blocks/attention.h"
#include "blocks/mlp.h"
#include "blocks/norm.h"
#include "blocks/patch_embed.h"
#include "families/family.h"

namespace lorapress {

// The fields that all encoders have, read over `defaults`; hidden_act is one of `activations`, by
// default the first. Throws kInvalidFile and kUnsupported.
VisionConfig read_encoder_config(const Json& json,
                                 const VisionConfig& defaults,
                                 std::span<const std::string_view> activations,
                                 std::string_view where);

// The function of a config's hidden_act.
Gelu gelu_named(std::string_view hidden_act);

// The convolution that cuts pixels into patches.
LinearWeights take_patch_kernel(WeightTaker& weights,
                                const std::string& name,
                                const VisionConfig& config,
                                bool biased);

// NAME.weight and NAME.bias of a LayerNorm.
NormWeights take_layer_norm(WeightTaker& weights,
                            const std::string& name,
                            const VisionConfig& config);

// The norm behind all layers; none, and NAME is marked as unused, where features are taken before.
std::optional<NormWeights> take_last_norm(WeightTaker& weights,
                                          const std::string& name,
                                          const VisionConfig& config);

// A factor per column behind a sublayer (DINOv2's LayerScale).
struct ScaleWeights {
  std::string name;
  WeightPtr weight;  // [hidden]; null: none
};

struct EncoderLayer {
  NormWeights norm1;
  AttentionWeights attention;
  ScaleWeights scale1;
  NormWeights norm2;
  LinearWeights up;
  LinearWeights down;
  ScaleWeights scale2;
};

// x [batch, class, register and patch tokens, hidden] -> [batch, tokens(), feature_size()], through
// `layers` (at least one) and the last norm where there is one.
Value encoder_layers(const Builder& b,
                     const Value& x,
                     const std::vector<EncoderLayer>& layers,
                     const std::optional<NormWeights>& last_norm,
                     const VisionConfig& config,
                     const PaddingMask& padding = {});

// The layers of SigLIP and CLIP under vision_encoder.encoder.layers: layer_norm1, self_attn,
// layer_norm2, mlp.fc1 and mlp.fc2.
std::vector<EncoderLayer> take_clip_layers(WeightTaker& weights, const VisionConfig& config);
// The embeddings of ViT, DeiT (two class tokens) and DINOv2, class and register tokens included.
PatchEmbedWeights take_vit_embeddings(WeightTaker& weights, const VisionConfig& config);
// The layers of ViT and DINOv2 under vision_encoder.encoder.layer: attention.attention.query, key
// and value, attention.output.dense; the rest under the names that are given.
struct VitLayerNames {
  std::string_view norm1, norm2, up, down;
  bool scaled = false;  // layer_scale1.lambda1 and layer_scale2.lambda1
};
std::vector<EncoderLayer> take_vit_layers(WeightTaker& weights,
                                          const VisionConfig& config,
                                          const VitLayerNames& names);

}  // namespace lorapress

#endif  // LORAPRESS_FAMILIES_ENCODER_H_
