// ViT and DeiT, transformers configuration_vit.py, modeling_vit.py (ViTModel) and modeling_deit.py
// (DeiTModel): a class token, which stays the first image token, in DeiT also a distillation token
// behind it, and layernorm behind the layers; the pooler is not used.
#include <array>

#include "checkpoint/config_fields.h"
#include "families/encoder.h"

namespace lorapress {
namespace {

constexpr std::array<std::string_view, 3> kVitUnusedPrefixes = {
    "vision_encoder.pooler.", "vision_encoder.embeddings.mask_token", "vision_encoder.classifier."};
constexpr std::array<std::string_view, 4> kDeitUnusedPrefixes = {
    "vision_encoder.pooler.",
    "vision_encoder.embeddings.mask_token",
    "vision_encoder.cls_classifier.",
    "vision_encoder.distillation_classifier."};
constexpr std::array<std::string_view, 4> kVitActivations = {
    "gelu", "gelu_pytorch_tanh", "gelu_new", "quick_gelu"};

// transformers 5 calls modules otherwise than files; tensors that torch or PEFT saved by module
// have its names.
constexpr std::array<NamePart, 6> kModuleParts = {
    {{".attention.q_proj", ".attention.attention.query"},
     {".attention.k_proj", ".attention.attention.key"},
     {".attention.v_proj", ".attention.attention.value"},
     {".attention.o_proj", ".attention.output.dense"},
     {".mlp.fc1", ".intermediate.dense"},
     {".mlp.fc2", ".output.dense"}}};
constexpr std::array<VisionSpelling, 3> kVitSpellings = {
    {{"vit.", "", {}}, {"deit.", "", {}}, {"layers.", "encoder.layer.", kModuleParts}}};

VisionConfig read_vit_kind(const Json& json, std::string_view where, int64_t class_tokens) {
  VisionConfig defaults;
  defaults.layer_norm_eps = 1e-12;
  defaults.class_tokens = class_tokens;
  VisionConfig config = read_encoder_config(json, defaults, kVitActivations, where);
  config.qkv_bias = json_or<bool>(json, "qkv_bias", true, where);
  return config;
}

VisionConfig read_vit(const Json& json, std::string_view where) {
  return read_vit_kind(json, where, 1);
}

VisionConfig read_deit(const Json& json, std::string_view where) {
  return read_vit_kind(json, where, 2);
}

//  pixels ── patch_embed with class token ── layers ── layernorm
Value build_vit_tower(const Builder& b,
                      WeightTaker& weights,
                      const VisionConfig& config,
                      const Value& pixel_values) {
  const std::string root = "vision_encoder";
  const VitLayerNames names{
      "layernorm_before", "layernorm_after", "intermediate.dense", "output.dense", false};
  const Value embedded =
      patch_embed(b, "/encoder/embeddings", pixel_values, take_vit_embeddings(weights, config));
  return encoder_layers(b,
                        embedded,
                        take_vit_layers(weights, config, names),
                        take_last_norm(weights, root + ".layernorm", config),
                        config);
}

}  // namespace

extern const VisionFamily kVit{{"vit",
                                "vit",
                                read_vit,
                                kVitUnusedPrefixes,
                                {"ViTImageProcessor", "bilinear", kHalf, kHalf},
                                kVitSpellings},
                               build_vit_tower};
extern const VisionFamily kDeit{{"deit",
                                 "deit",
                                 read_deit,
                                 kDeitUnusedPrefixes,
                                 {"DeiTImageProcessor", "bicubic", kHalf, kHalf},
                                 {}},
                                build_vit_tower};

}  // namespace lorapress
