// BLIP for captions, transformers configuration_blip.py, modeling_blip.py and modeling_blip_text.py
// (BlipForConditionalGeneration): a ViT, and a BERT with cross attention whose head has a layer of
// its own.
#include <array>

#include "base/fail.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config_fields.h"
#include "families/encoder.h"
#include "families/layer_norm_decoder.h"
#include "families/linear_weights.h"

namespace lorapress {
namespace {

using namespace config_fields;

constexpr std::array<NamePrefix, 2> kBlipNames = {
    {{"vision_model.", "vision_encoder."}, {"text_decoder.", "language_model."}}};
constexpr std::array<NamePrefix, 2> kBlipTextPrefixes = {{{"bert.", "bert."}, {"cls.", "cls."}}};
constexpr std::array<std::string_view, 4> kBlipActivations = {
    "gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu"};
// "cls.predictions.decoder.bias" is the same parameter as "cls.predictions.bias".
const std::string kBlipHead = "language_model.cls.predictions";

VisionConfig read_blip_vision(const Json& json, std::string_view where) {
  VisionConfig defaults;
  defaults.image_size = 384;
  defaults.layer_norm_eps = 1e-5;
  defaults.class_tokens = 1;
  return read_encoder_config(json, defaults, kBlipActivations, where);
}

std::vector<EncoderLayer> take_blip_layers(WeightTaker& weights, const VisionConfig& config) {
  const int64_t hidden = config.hidden_size;
  const int64_t wide = config.intermediate_size;
  std::vector<EncoderLayer> layers;
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const std::string name = fmt::format("vision_encoder.encoder.layers.{}", i);
    AttentionWeights attention;
    attention.name = name + ".self_attn";
    attention.packed = take_linear(weights, name + ".self_attn.qkv", 3 * hidden, hidden, true);
    attention.out = take_linear(weights, name + ".self_attn.projection", hidden, hidden, true);
    layers.push_back({take_layer_norm(weights, name + ".layer_norm1", config),
                      std::move(attention),
                      {},
                      take_layer_norm(weights, name + ".layer_norm2", config),
                      take_linear(weights, name + ".mlp.fc1", wide, hidden, true),
                      take_linear(weights, name + ".mlp.fc2", hidden, wide, true),
                      {}});
  }
  return layers;
}

//  pixels ── patch_embed with class token ── layers ── post_layernorm
Value build_blip_tower(const Builder& b,
                       WeightTaker& weights,
                       const VisionConfig& config,
                       const Value& pixel_values) {
  const std::string root = "vision_encoder";
  const int64_t hidden = config.hidden_size;
  const int64_t tokens = config.patches() + 1;
  const std::string positions = root + ".embeddings.position_embedding";
  const std::string class_name = root + ".embeddings.class_embedding";
  const PatchEmbedWeights embedding{
      take_patch_kernel(weights, root + ".embeddings.patch_embedding", config, true),
      positions,
      reshape(weights.take(positions, {1, tokens, hidden}), {tokens, hidden}),
      config.patch_size,
      config.image_size,
      {class_name, reshape(weights.take(class_name, {1, 1, hidden}), {1, hidden})},
      {}};
  return encoder_layers(b,
                        patch_embed(b, "/encoder/embeddings", pixel_values, embedding),
                        take_blip_layers(weights, config),
                        take_last_norm(weights, root + ".post_layernorm", config),
                        config);
}

TextConfig read_blip_text(const Json& json, std::string_view where) {
  TextConfig config = read_decoder_sizes(json,
                                         where,
                                         {{"vocab_size", 30524},
                                          {"hidden_size", 768},
                                          {"num_hidden_layers", 12},
                                          {"num_attention_heads", 8},
                                          {"max_position_embeddings", 512}});
  if (!json_or<bool>(json, "is_decoder", true, where)) {
    fail(ErrorCode::kUnsupported,
         "{}: is_decoder is false, a decoder without cross attention does not see the image",
         where);
  }
  config.eos_token_ids = {2};
  config.bos_token_id = 30522;
  config.pad_token_id = 0;
  read_special_tokens(json, where, config);
  LayerNormLayers layers;
  layers.intermediate_size = dimension(json, "intermediate_size", 3072, where);
  layers.layer_norm_eps = positive(json, "layer_norm_eps", 1e-12, where);
  layers.activation = activation(json, kBlipActivations, where);
  layers.norm_first = false;
  layers.last_norm = false;
  layers.embedding_norm = true;
  layers.cross_width = dimension(json, "encoder_hidden_size", 768, where);
  config.layers = std::move(layers);
  return config;
}

constexpr LayerNormNames kBlipTextLayer{.attention = ".attention",
                                        .q = ".attention.self.query",
                                        .k = ".attention.self.key",
                                        .v = ".attention.self.value",
                                        .out = ".attention.output.dense",
                                        .attention_norm = ".attention.output.LayerNorm",
                                        .up = ".intermediate.dense",
                                        .down = ".output.dense",
                                        .mlp_norm = ".output.LayerNorm",
                                        .cross = ".crossattention",
                                        .cross_q = ".crossattention.self.query",
                                        .cross_k = ".crossattention.self.key",
                                        .cross_v = ".crossattention.self.value",
                                        .cross_out = ".crossattention.output.dense",
                                        .cross_norm = ".crossattention.output.LayerNorm"};

DecoderOutput decode_blip_text(const Builder& b,
                               WeightTaker& weights,
                               const TextConfig& config,
                               const DecoderInputs& inputs) {
  const std::string root = "language_model.bert";
  const int64_t hidden = config.hidden_size;
  LayerNormParts parts;
  parts.position_name = root + ".embeddings.position_embeddings.weight";
  parts.positions = weights.take(parts.position_name, {config.max_position_embeddings, hidden});
  parts.embedding_norm = take_decoder_norm(weights, root + ".embeddings.LayerNorm", config);
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    parts.layers.push_back(take_layer_norm_layer(
        weights, fmt::format("{}.encoder.layer.{}", root, i), config, kBlipTextLayer));
  }
  parts.head_layer =
      HeadLayer{take_linear(weights, kBlipHead + ".transform.dense", hidden, hidden, true),
                take_decoder_norm(weights, kBlipHead + ".transform.LayerNorm", config)};
  const std::string twin = kBlipHead + ".decoder.bias";
  parts.head_bias_name = weights.has(kBlipHead + ".bias") ? kBlipHead + ".bias" : twin;
  weights.drop(twin);
  parts.head_bias = weights.take(parts.head_bias_name, {config.vocab_size});
  return decode_layer_norm(b, weights, config, parts, inputs);
}

std::optional<ProjectionConfig> no_projection(const Json& /*json*/, std::string_view /*where*/) {
  return std::nullopt;
}

// BlipForConditionalGeneration.generate() begins with bos_token_id and gives the decoder its
// sep_token_id as the end, whatever other files say.
void read_blip(const Json& /*json*/, std::string_view where, Checkpoint& checkpoint) {
  TextConfig& text = checkpoint.text.value();
  constexpr int64_t kSeparator = 102;
  const Json& own = checkpoint.text_json;
  const int64_t end =
      own.contains("sep_token_id") ? token_id(own, "sep_token_id", where) : kSeparator;
  if (end < 0 || text.bos_token_id < 0) {
    fail(ErrorCode::kInvalidFile,
         "{}: text_config: sep_token_id or bos_token_id is null, and generation begins and ends "
         "with them",
         where);
  }
  text.eos_token_ids = {end};
  text.decoder_start_token_id = text.bos_token_id;
  checkpoint.own_special_tokens = true;
  // BlipConfig.__post_init__
  std::get<LayerNormLayers>(text.layers).cross_width = checkpoint.vision->hidden_size;
}

}  // namespace

extern const VisionFamily kBlipVision{{"blip_vision_model",
                                       "blip_vision_model",
                                       read_blip_vision,
                                       {},
                                       {"BlipImageProcessor", "bicubic", kClipMean, kClipStd},
                                       {}},
                                      build_blip_tower};
extern const TextFamily kBlipText{
    {"blip_text_model",
     "BlipTextLMHeadModel",
     read_blip_text,
     {"bert.embeddings.word_embeddings", "cls.predictions.decoder", kBlipTextPrefixes},
     CrossAttention::kAlways},
    build_input_table,
    decode_blip_text};
extern const CompositeModelType kBlipModel;
const CompositeModelType kBlipModel{"blip",
                                    "BlipForConditionalGeneration",
                                    Conditioning::kCross,
                                    "vision_config",
                                    "text_config",
                                    kBlipNames,
                                    no_projection,
                                    read_blip};

}  // namespace lorapress
