// From transformers: models/siglip/modeling_siglip.py, models/idefics3/modeling_idefics3.py,
// models/clip/modeling_clip.py, models/vit/modeling_vit.py, models/deit/modeling_deit.py,
// models/dinov2/modeling_dinov2.py, models/dinov2_with_registers/modeling_dinov2_with_registers.py
// and models/blip/modeling_blip.py. What is projected, or read by cross attention, is
// last_hidden_state: after the last LayerNorm, of CLIP before it. Pooling heads are not part of the
// model.
#include <utility>

#include "base/fail.h"
#include "verify/reference_idefics3.h"
#include "verify/reference_vision.h"

namespace lorapress::reference {
namespace {

const std::string kRoot = "vision_encoder.";

}  // namespace

VisionTower::VisionTower(const Checkpoint& checkpoint, WeightTaker& weights, int64_t width)
    : config_(checkpoint.vision.value()) {
  const std::string& type = config_.model_type;
  if (type == "siglip_vision_model" || is_idefics3_tower(type)) {
    take_siglip(weights);
  } else if (type == "clip_vision_model") {
    take_clip(weights);
  } else if (type == "vit" || type == "deit" || type == "dinov2" ||
             type == "dinov2_with_registers") {
    take_vit(weights);
  } else if (type == "blip_vision_model") {
    take_blip(weights);
  } else {
    fail(ErrorCode::kUnsupported, "model_type \"{}\" has no reference forward", type);
  }
  if (const VisionModelType* row = find_model_type(vision_model_types(), type)) {
    for (const std::string_view prefix : row->unused_prefixes) {
      weights.drop(std::string(prefix));
    }
  }

  if (!checkpoint.projection) {
    return;
  }
  const ProjectionConfig& kind = *checkpoint.projection;
  const bool mlp = kind.type == ProjectionType::kMlp;
  projection_act_ = kind.hidden_act;
  scale_ = kind.type == ProjectionType::kPixelShuffle ? kind.scale_factor : 1;
  projection_ = {take_linear(weights,
                             kind.first,
                             mlp ? kind.mlp_hidden_dim : width,
                             config_.feature_size() * scale_ * scale_,
                             kind.biased)};
  if (mlp) {
    projection_.push_back(take_linear(weights, kind.last, width, kind.mlp_hidden_dim, kind.biased));
  }
}

Norm VisionTower::take_norm(WeightTaker& weights, const std::string& name) const {
  return {weights.take(name + ".weight", {config_.hidden_size}),
          weights.take(name + ".bias", {config_.hidden_size}),
          config_.layer_norm_eps};
}

// `parts`: both norms, query, key, value, out, and both linear layers of the MLP. Without key and
// value the first is all three, one beside the other.
void VisionTower::take_layers(WeightTaker& weights,
                              const std::string& stem,
                              const std::array<const char*, 8>& parts,
                              bool scaled) {
  const int64_t hidden = config_.hidden_size;
  const int64_t wide = config_.intermediate_size;
  for (int64_t i = 0; i < config_.layers_run(); ++i) {
    const std::string name = stem + std::to_string(i) + ".";
    const auto linear_of = [&](const char* part, int64_t out, int64_t in, bool biased) {
      return take_linear(weights, name + part, out, in, biased);
    };
    const auto scale = [&](const char* part) {
      return scaled ? weights.take(name + part, {hidden}) : nullptr;
    };
    std::vector<Linear> inputs;
    for (size_t part = 2; part < 5 && parts[part] != nullptr; ++part) {
      const int64_t out = parts[3] == nullptr ? 3 * hidden : hidden;
      inputs.push_back(linear_of(parts[part], out, hidden, config_.qkv_bias));
    }
    layers_.push_back({take_norm(weights, name + parts[0]),
                       std::move(inputs),
                       linear_of(parts[5], hidden, hidden, true),
                       take_norm(weights, name + parts[1]),
                       linear_of(parts[6], wide, hidden, true),
                       linear_of(parts[7], hidden, wide, true),
                       scale("layer_scale1.lambda1"),
                       scale("layer_scale2.lambda1")});
  }
  for (int64_t i = config_.layers_run(); i < config_.num_hidden_layers; ++i) {
    weights.drop(stem + std::to_string(i) + ".");
  }
}

// The norm behind the layers, unless features are taken before.
void VisionTower::take_last_norm(WeightTaker& weights, const std::string& name) {
  if (config_.feature_layers.empty()) {
    last_norm_ = take_norm(weights, name);
  } else {
    weights.drop(name + ".");
  }
}

constexpr std::array<const char*, 8> kClipParts = {"layer_norm1",
                                                   "layer_norm2",
                                                   "self_attn.q_proj",
                                                   "self_attn.k_proj",
                                                   "self_attn.v_proj",
                                                   "self_attn.out_proj",
                                                   "mlp.fc1",
                                                   "mlp.fc2"};

void VisionTower::take_patches(WeightTaker& weights, const std::string& name, bool biased) {
  const int64_t hidden = config_.hidden_size;
  const int64_t patch = config_.patch_size;
  const std::string full = kRoot + name;
  patch_embedding_ = {full,
                      weights.take(full + ".weight", {hidden, config_.num_channels, patch, patch}),
                      biased ? weights.take(full + ".bias", {hidden}) : nullptr};
}

void VisionTower::take_siglip(WeightTaker& weights) {
  const int64_t hidden = config_.hidden_size;
  take_patches(weights, "embeddings.patch_embedding", true);
  position_embedding_ =
      weights.take(kRoot + "embeddings.position_embedding.weight", {config_.patches(), hidden});
  take_layers(weights, kRoot + "encoder.layers.", kClipParts, false);
  take_last_norm(weights, kRoot + "post_layernorm");
}

void VisionTower::take_clip(WeightTaker& weights) {
  const int64_t hidden = config_.hidden_size;
  take_patches(weights, "embeddings.patch_embedding", false);
  first_tokens_ = {weights.take(kRoot + "embeddings.class_embedding", {hidden})};
  position_embedding_ =
      weights.take(kRoot + "embeddings.position_embedding.weight", {config_.patches() + 1, hidden});
  first_norm_ = take_norm(weights, kRoot + "pre_layrnorm");
  take_layers(weights, kRoot + "encoder.layers.", kClipParts, false);
}

void VisionTower::take_vit(WeightTaker& weights) {
  const int64_t hidden = config_.hidden_size;
  take_patches(weights, "embeddings.patch_embeddings.projection", true);
  first_tokens_ = {weights.take(kRoot + "embeddings.cls_token", {1, 1, hidden})};
  if (config_.model_type == "deit") {
    first_tokens_.push_back(weights.take(kRoot + "embeddings.distillation_token", {1, 1, hidden}));
  }
  if (config_.register_tokens != 0) {
    register_tokens_ =
        weights.take(kRoot + "embeddings.register_tokens", {1, config_.register_tokens, hidden});
  }
  const int64_t size = config_.position_size != 0 ? config_.position_size : config_.image_size;
  const int64_t side = size / config_.patch_size;
  position_embedding_ = weights.take(kRoot + "embeddings.position_embeddings",
                                     {1, side * side + std::ssize(first_tokens_), hidden});
  const bool vit = config_.model_type == "vit" || config_.model_type == "deit";
  take_layers(weights,
              kRoot + "encoder.layer.",
              {vit ? "layernorm_before" : "norm1",
               vit ? "layernorm_after" : "norm2",
               "attention.attention.query",
               "attention.attention.key",
               "attention.attention.value",
               "attention.output.dense",
               vit ? "intermediate.dense" : "mlp.fc1",
               vit ? "output.dense" : "mlp.fc2"},
              !vit);
  take_last_norm(weights, kRoot + "layernorm");
}

void VisionTower::take_blip(WeightTaker& weights) {
  const int64_t hidden = config_.hidden_size;
  take_patches(weights, "embeddings.patch_embedding", true);
  first_tokens_ = {weights.take(kRoot + "embeddings.class_embedding", {1, 1, hidden})};
  position_embedding_ =
      weights.take(kRoot + "embeddings.position_embedding", {1, config_.patches() + 1, hidden});
  take_layers(weights,
              kRoot + "encoder.layers.",
              {"layer_norm1",
               "layer_norm2",
               "self_attn.qkv",
               nullptr,
               nullptr,
               "self_attn.projection",
               "mlp.fc1",
               "mlp.fc2"},
              false);
  take_last_norm(weights, kRoot + "post_layernorm");
}

}  // namespace lorapress::reference
