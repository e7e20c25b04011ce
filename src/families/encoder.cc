#include "families/encoder.h"

#include "base/fail.h"
#include "checkpoint/config_fields.h"
#include "families/linear_weights.h"

namespace lorapress {
namespace {

using namespace config_fields;

AttentionWeights take_attention(WeightTaker& weights,
                                const std::string& name,
                                const std::array<std::string_view, 4>& parts,
                                const VisionConfig& config) {
  const int64_t hidden = config.hidden_size;
  const auto take = [&](std::string_view part, bool biased) {
    return take_linear(weights, name + std::string(part), hidden, hidden, biased);
  };
  return {name,
          take(parts[0], config.qkv_bias),
          take(parts[1], config.qkv_bias),
          take(parts[2], config.qkv_bias),
          take(parts[3], true)};
}

// Layers behind the last one whose hidden states are taken.
void drop_layers(WeightTaker& weights, std::string_view stem, const VisionConfig& config) {
  for (int64_t i = config.layers_run(); i < config.num_hidden_layers; ++i) {
    weights.drop(fmt::format("{}.{}.", stem, i));
  }
}

//  states[n] of each feature layer n ── Concat ── (Slice [:, dropped:]) ── features
Value features_of(const Builder& b, const std::vector<Value>& states, const VisionConfig& config) {
  Graph& graph = b.graph;
  std::vector<Value> parts;
  for (const int64_t layer : config.feature_layers) {
    parts.push_back(states.at(static_cast<size_t>(layer)));
  }
  const Value all =
      parts.size() == 1
          ? parts[0]
          : graph.op("Concat", "/encoder/Concat_features", parts, {{"axis", int64_t{2}}});
  return config.dropped_tokens == 0 ? all
                                    : graph.op("Slice",
                                               "/encoder/Slice_features",
                                               {all,
                                                graph.integers({config.dropped_tokens}),
                                                graph.integers({INT32_MAX}),
                                                graph.integers({1})});
}

Value scaled(const Builder& b, const std::string& name, const Value& x, const ScaleWeights& scale) {
  return scale.weight ? b.graph.op("Mul", name, {x, b.weight(scale.name, scale.weight)}) : x;
}

}  // namespace

VisionConfig read_encoder_config(const Json& json,
                                 const VisionConfig& defaults,
                                 std::span<const std::string_view> activations,
                                 std::string_view where) {
  VisionConfig config = defaults;
  config.hidden_size = dimension(json, "hidden_size", config.hidden_size, where);
  config.intermediate_size = dimension(json, "intermediate_size", config.intermediate_size, where);
  config.num_hidden_layers = count(json, "num_hidden_layers", config.num_hidden_layers, where);
  config.num_attention_heads =
      count(json, "num_attention_heads", config.num_attention_heads, where);
  config.num_channels = dimension(json, "num_channels", config.num_channels, where);
  config.image_size = dimension(json, "image_size", config.image_size, where);
  config.patch_size = dimension(json, "patch_size", config.patch_size, where);
  config.layer_norm_eps = positive(json, "layer_norm_eps", config.layer_norm_eps, where);
  config.hidden_act = activation(json, activations, where);
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

// transformers' ACT2FN: gelu_new is the formula of gelu_pytorch_tanh.
Gelu gelu_named(std::string_view hidden_act) {
  if (hidden_act == "quick_gelu") {
    return Gelu::kQuick;
  }
  return hidden_act == "gelu" ? Gelu::kErf : Gelu::kTanh;
}

LinearWeights take_patch_kernel(WeightTaker& weights,
                                const std::string& name,
                                const VisionConfig& config,
                                bool biased) {
  const Shape kernel{config.hidden_size, config.num_channels, config.patch_size, config.patch_size};
  return {name,
          weights.take(name + ".weight", kernel),
          biased ? weights.take(name + ".bias", {config.hidden_size}) : nullptr};
}

NormWeights take_layer_norm(WeightTaker& weights,
                            const std::string& name,
                            const VisionConfig& config) {
  return {name,
          weights.take(name + ".weight", {config.hidden_size}),
          weights.take(name + ".bias", {config.hidden_size}),
          config.layer_norm_eps};
}

std::optional<NormWeights> take_last_norm(WeightTaker& weights,
                                          const std::string& name,
                                          const VisionConfig& config) {
  if (!config.feature_layers.empty()) {
    weights.drop(name + ".");
    return std::nullopt;
  }
  return take_layer_norm(weights, name, config);
}

std::vector<EncoderLayer> take_clip_layers(WeightTaker& weights, const VisionConfig& config) {
  constexpr std::array<std::string_view, 4> kParts = {".q_proj", ".k_proj", ".v_proj", ".out_proj"};
  const int64_t hidden = config.hidden_size;
  const int64_t wide = config.intermediate_size;
  std::vector<EncoderLayer> layers;
  for (int64_t i = 0; i < config.layers_run(); ++i) {
    const std::string name = fmt::format("vision_encoder.encoder.layers.{}", i);
    layers.push_back({take_layer_norm(weights, name + ".layer_norm1", config),
                      take_attention(weights, name + ".self_attn", kParts, config),
                      {},
                      take_layer_norm(weights, name + ".layer_norm2", config),
                      take_linear(weights, name + ".mlp.fc1", wide, hidden, true),
                      take_linear(weights, name + ".mlp.fc2", hidden, wide, true),
                      {}});
  }
  drop_layers(weights, "vision_encoder.encoder.layers", config);
  return layers;
}

PatchEmbedWeights take_vit_embeddings(WeightTaker& weights, const VisionConfig& config) {
  const std::string root = "vision_encoder.embeddings.";
  const int64_t hidden = config.hidden_size;
  const auto tokens = [&](const char* name, int64_t count) {
    return count == 0 ? TokenWeights{}
                      : TokenWeights{root + name,
                                     reshape(weights.take(root + name, {1, count, hidden}),
                                             {count, hidden})};
  };
  TokenWeights classes = tokens("cls_token", 1);
  if (config.class_tokens == 2) {
    const TokenWeights distillation = tokens("distillation_token", 1);
    classes = {
        root + "cls_and_distillation_tokens",
        concat_rows({cast(classes.weight, DType::kF32), cast(distillation.weight, DType::kF32)})};
  }
  const int64_t size = config.position_size == 0 ? config.image_size : config.position_size;
  const int64_t side = size / config.patch_size;
  const int64_t rows = side * side + config.class_tokens;
  const std::string positions = root + "position_embeddings";
  return {take_patch_kernel(weights, root + "patch_embeddings.projection", config, true),
          positions,
          reshape(weights.take(positions, {1, rows, hidden}), {rows, hidden}),
          config.patch_size,
          config.image_size,
          std::move(classes),
          tokens("register_tokens", config.register_tokens)};
}

std::vector<EncoderLayer> take_vit_layers(WeightTaker& weights,
                                          const VisionConfig& config,
                                          const VitLayerNames& names) {
  constexpr std::array<std::string_view, 4> kParts = {
      ".attention.query", ".attention.key", ".attention.value", ".output.dense"};
  const int64_t hidden = config.hidden_size;
  const int64_t wide = config.intermediate_size;
  std::vector<EncoderLayer> layers;
  for (int64_t i = 0; i < config.layers_run(); ++i) {
    const auto name = [&](std::string_view part) {
      return fmt::format("vision_encoder.encoder.layer.{}.{}", i, part);
    };
    const auto scale = [&](std::string_view part) {
      return names.scaled ? ScaleWeights{name(part), weights.take(name(part), {hidden})}
                          : ScaleWeights{};
    };
    layers.push_back({take_layer_norm(weights, name(names.norm1), config),
                      take_attention(weights, name("attention"), kParts, config),
                      scale("layer_scale1.lambda1"),
                      take_layer_norm(weights, name(names.norm2), config),
                      take_linear(weights, name(names.up), wide, hidden, true),
                      take_linear(weights, name(names.down), hidden, wide, true),
                      scale("layer_scale2.lambda1")});
  }
  drop_layers(weights, "vision_encoder.encoder.layer", config);
  return layers;
}

//  x ── [ norm ── attention ── (scale) ── + ── norm ── mlp ── (scale) ── + ] x layers ── (last norm)
Value encoder_layers(const Builder& b,
                     const Value& x,
                     const std::vector<EncoderLayer>& layers,
                     const std::optional<NormWeights>& last_norm,
                     const VisionConfig& config,
                     const PaddingMask& padding) {
  const auto scope_of = [](size_t layer) { return fmt::format("/encoder/layers.{}", layer); };
  Value hidden_states = x;
  std::vector<Value> states{x};
  Value normalized = layer_norm(b, scope_of(0) + "/layer_norm1", hidden_states, layers.at(0).norm1);
  for (size_t i = 0; i < layers.size(); ++i) {
    const EncoderLayer& layer = layers[i];
    const std::string scope = scope_of(i);
    const Value attended = scaled(b,
                                  scope + "/layer_scale1",
                                  encoder_attention(b,
                                                    scope + "/self_attn",
                                                    normalized,
                                                    layer.attention,
                                                    config.num_attention_heads,
                                                    padding),
                                  layer.scale1);
    const Residual middle =
        skip_layer_norm(b, scope + "/layer_norm2", hidden_states, attended, layer.norm2);
    const Value mlp = scaled(b,
                             scope + "/layer_scale2",
                             gelu_mlp(b,
                                      scope + "/mlp",
                                      middle.normalized,
                                      layer.up,
                                      layer.down,
                                      gelu_named(config.hidden_act)),
                             layer.scale2);
    const bool last = i + 1 == layers.size();
    if (last && !last_norm) {
      hidden_states = b.graph.op("Add", "/encoder/Residual", {middle.sum, mlp});
      states.push_back(hidden_states);
      return config.feature_layers.empty() ? hidden_states : features_of(b, states, config);
    }
    const Residual end =
        skip_layer_norm(b,
                        last ? "/encoder/post_layernorm" : scope_of(i + 1) + "/layer_norm1",
                        middle.sum,
                        mlp,
                        last ? *last_norm : layers[i + 1].norm1);
    normalized = end.normalized;
    hidden_states = end.sum;
    states.push_back(hidden_states);
  }
  return normalized;
}

}  // namespace lorapress
