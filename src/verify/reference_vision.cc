// From transformers: models/siglip/modeling_siglip.py, models/idefics3/modeling_idefics3.py,
// models/clip/modeling_clip.py, models/vit/modeling_vit.py, models/dinov2/modeling_dinov2.py and
// models/dinov2_with_registers/modeling_dinov2_with_registers.py. What the trainer projects is
// last_hidden_state: after the last LayerNorm, of CLIP before it. Pooling heads are not part of the
// model.
#include "verify/reference_vision.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/fail.h"
#include "verify/reference_idefics3.h"
#include "verify/reference_positions.h"

namespace lorapress::reference {
namespace {

const std::string kRoot = "vision_encoder.";

}  // namespace

VisionTower::VisionTower(const Checkpoint& checkpoint, WeightTaker& weights)
    : config_(checkpoint.vision.value()) {
  const std::string& type = config_.model_type;
  if (type == "siglip_vision_model" || is_idefics3_tower(type)) {
    take_siglip(weights);
  } else if (type == "clip_vision_model") {
    take_clip(weights);
  } else if (type == "vit" || type == "dinov2" || type == "dinov2_with_registers") {
    take_vit(weights);
  } else {
    fail(ErrorCode::kUnsupported, "model_type \"{}\" has no reference forward", type);
  }
  const VisionModelType* row = find_model_type(vision_model_types(), type);
  for (const std::string_view prefix : row->unused_prefixes) {
    weights.drop(std::string(prefix));
  }

  const ProjectionConfig& kind = checkpoint.projection.value();
  const int64_t width = checkpoint.text.value().hidden_size;
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

// `parts`: both norms, query, key, value, out, and both linear layers of the MLP.
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
    layers_.push_back({take_norm(weights, name + parts[0]),
                       linear_of(parts[2], hidden, hidden, config_.qkv_bias),
                       linear_of(parts[3], hidden, hidden, config_.qkv_bias),
                       linear_of(parts[4], hidden, hidden, config_.qkv_bias),
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
  class_token_ = weights.take(kRoot + "embeddings.class_embedding", {hidden});
  position_embedding_ =
      weights.take(kRoot + "embeddings.position_embedding.weight", {config_.patches() + 1, hidden});
  first_norm_ = take_norm(weights, kRoot + "pre_layrnorm");
  take_layers(weights, kRoot + "encoder.layers.", kClipParts, false);
}

void VisionTower::take_vit(WeightTaker& weights) {
  const int64_t hidden = config_.hidden_size;
  take_patches(weights, "embeddings.patch_embeddings.projection", true);
  class_token_ = weights.take(kRoot + "embeddings.cls_token", {1, 1, hidden});
  if (config_.register_tokens != 0) {
    register_tokens_ =
        weights.take(kRoot + "embeddings.register_tokens", {1, config_.register_tokens, hidden});
  }
  const int64_t size = config_.position_size != 0 ? config_.position_size : config_.image_size;
  const int64_t side = size / config_.patch_size;
  position_embedding_ =
      weights.take(kRoot + "embeddings.position_embeddings", {1, side * side + 1, hidden});
  const bool vit = config_.model_type == "vit";
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

// transformers' ACT2FN.
template <typename T>
void activate(const Context& context, const std::string& hidden_act, BasicRows<T>& x) {
  if (hidden_act == "gelu") {
    gelu_erf(context, x);
  } else if (hidden_act == "quick_gelu") {
    gelu_quick(context, x);
  } else {  // gelu_pytorch_tanh, gelu_new
    gelu_tanh(context, x);
  }
}

// nn.Conv2d with stride = kernel is a product with the patches laid flat: channel, row, column.
template <typename T>
BasicRows<T> VisionTower::unfold(const std::vector<std::vector<float>>& pixel_values) const {
  const int64_t size = config_.image_size;
  const int64_t patch = config_.patch_size;
  const int64_t grid = size / patch;
  const auto images = static_cast<int64_t>(pixel_values.size());
  BasicRows<T> patches(images * config_.patches(), config_.num_channels * patch * patch);
  int64_t row = 0;
  for (const std::vector<float>& pixels : pixel_values) {
    if (std::ssize(pixels) != config_.num_channels * size * size) {
      fail(ErrorCode::kInvalidArgument,
           "{} pixel values, expected {} x {} x {}",
           pixels.size(),
           config_.num_channels,
           size,
           size);
    }
    for (int64_t cell = 0; cell < grid * grid; ++cell) {
      const int64_t top = cell / grid * patch;
      const int64_t left = cell % grid * patch;
      auto out = patches.row(row++).begin();
      for (int64_t channel = 0; channel < config_.num_channels; ++channel) {
        for (int64_t y = top; y < top + patch; ++y) {
          const float* line = pixels.data() + (channel * size + y) * size + left;
          out = std::copy_n(line, patch, out);
        }
      }
    }
  }
  return patches;
}

template <typename T>
BasicRows<T> VisionTower::attention(const Context& context,
                                    const Layer& layer,
                                    const BasicRows<T>& x,
                                    int64_t images,
                                    const SeenPatches& seen) const {
  const BasicRows<T> q = linear(context, layer.q, x);
  BasicRows<T> k = linear(context, layer.k, x);
  BasicRows<T> v = linear(context, layer.v, x);
  BasicRows<T> joined(x.rows, x.cols);
  const int64_t tokens = config_.tokens() + config_.dropped_tokens;
  const int64_t heads = config_.num_attention_heads;
  std::vector<AttentionPart<T>> parts;
  for (int64_t image = 0; image < images; ++image) {
    const int64_t at = image * tokens * x.cols;
    int64_t keys = tokens;
    if (!seen.empty()) {  // the keys that are seen move to the front
      keys = 0;
      for (int64_t row = 0; row < tokens; ++row) {
        if (seen[static_cast<size_t>(image)][static_cast<size_t>(row)] != 0) {
          std::ranges::copy(k.row(image * tokens + row), k.row(image * tokens + keys).begin());
          std::ranges::copy(v.row(image * tokens + row), v.row(image * tokens + keys).begin());
          ++keys;
        }
      }
    }
    parts.push_back({q.values.data() + at,
                     k.values.data() + at,
                     v.values.data() + at,
                     joined.values.data() + at,
                     tokens,
                     keys});
  }
  attend(context, {heads, heads, config_.hidden_size / heads, false}, parts);
  return linear(context, layer.out, joined);
}

template <typename T>
BasicRows<T> VisionTower::project(const Context& context, const BasicRows<T>& features) const {
  const int64_t grid = config_.image_size / config_.patch_size;
  BasicRows<T> x = linear(
      context, projection_[0], scale_ == 1 ? features : pixel_shuffle(features, grid, scale_));
  if (projection_.size() == 2) {
    activate(context, projection_act_, x);
    x = linear(context, projection_[1], x);
  }
  return x;
}

// Positions of the class token (where there is one) and of the patches.
template <typename T>
std::vector<T> VisionTower::positions() const {
  const std::vector<float> stored = read_all_float32(*position_embedding_);
  std::vector<T> values(stored.begin(), stored.end());
  const int64_t from = config_.position_size / config_.patch_size;
  const int64_t to = config_.image_size / config_.patch_size;
  if (config_.position_size == 0 || from == to) {
    return values;
  }
  const bool antialias = config_.model_type == "dinov2_with_registers";
  return resized_positions(values, from, to, config_.hidden_size, antialias);
}

// Rows of `table` for the patches of an image, where their positions hang on what is seen of it.
template <typename T>
std::vector<T> VisionTower::positions_of(const std::vector<T>& table,
                                         const SeenPatches& seen,
                                         size_t image) const {
  if (!is_idefics3_tower(config_.model_type)) {
    return table;
  }
  const std::vector<uint8_t> all(static_cast<size_t>(config_.patches()), 1);
  const int64_t grid = config_.image_size / config_.patch_size;
  std::vector<T> rows;
  for (const int64_t id : idefics3_position_ids(seen.empty() ? all : seen[image], grid)) {
    const auto row = table.begin() + id * config_.hidden_size;
    rows.insert(rows.end(), row, row + config_.hidden_size);
  }
  return rows;
}

// The tokens of each image: class token, register tokens, patches; all but the registers with their
// positions.
template <typename T>
BasicRows<T> VisionTower::embed(const Context& context,
                                const std::vector<std::vector<float>>& pixel_values,
                                const SeenPatches& seen) const {
  const BasicRows<T> patches = linear(context, patch_embedding_, unfold<T>(pixel_values));
  const auto images = static_cast<int64_t>(pixel_values.size());
  const int64_t hidden = config_.hidden_size;
  const std::vector<T> table = positions<T>();
  const auto read = [](const WeightPtr& weight) {
    return weight ? read_all_float32(*weight) : std::vector<float>{};
  };
  const std::vector<float> class_token = read(class_token_);
  const std::vector<float> registers = read(register_tokens_);
  BasicRows<T> tokens(images * (config_.tokens() + config_.dropped_tokens), hidden);
  auto out = tokens.values.begin();
  auto patch = patches.values.begin();
  for (int64_t image = 0; image < images; ++image) {
    const std::vector<T> added = positions_of(table, seen, static_cast<size_t>(image));
    auto position = added.begin();
    for (const float value : class_token) {
      *out++ = static_cast<T>(value) + *position++;
    }
    out = std::copy(registers.begin(), registers.end(), out);
    while (position != added.end()) {
      *out++ = *patch++ + *position++;
    }
  }
  return tokens;
}

// x * lambda, column by column.
template <typename T>
BasicRows<T> scaled(BasicRows<T> x, const WeightPtr& lambda) {
  if (lambda) {
    const std::vector<float> factors = read_all_float32(*lambda);
    for (size_t i = 0; i < x.values.size(); ++i) {
      x.values[i] *= static_cast<T>(factors[i % factors.size()]);
    }
  }
  return x;
}

// LlavaModel.get_image_features: hidden states side by side, without the first tokens of each image.
template <typename T>
BasicRows<T> VisionTower::features(const std::vector<BasicRows<T>>& states, int64_t images) const {
  BasicRows<T> joined(images * config_.tokens(), config_.feature_size());
  const int64_t stored = config_.tokens() + config_.dropped_tokens;
  for (int64_t row = 0; row < joined.rows; ++row) {
    const int64_t from =
        row / config_.tokens() * stored + row % config_.tokens() + config_.dropped_tokens;
    auto out = joined.row(row).begin();
    for (const int64_t layer : config_.feature_layers) {
      const BasicRows<T>& state = states[static_cast<size_t>(layer - 1)];
      out = std::copy_n(state.values.begin() + from * state.cols, state.cols, out);
    }
  }
  return joined;
}

template <typename T>
BasicRows<T> VisionTower::forward(const Context& context,
                                  const std::vector<std::vector<float>>& pixel_values,
                                  const std::vector<std::vector<uint8_t>>& seen) const {
  const auto images = static_cast<int64_t>(pixel_values.size());
  SeenPatches patches;
  for (const std::vector<uint8_t>& pixels : seen) {
    patches.push_back(seen_patches(pixels, config_.image_size, config_.patch_size));
  }
  BasicRows<T> stream = embed<T>(context, pixel_values, patches);
  if (first_norm_) {
    stream = layer_norm(*first_norm_, stream);
  }
  std::vector<BasicRows<T>> states;  // behind each layer, where they are wanted
  for (const Layer& layer : layers_) {
    add(stream,
        scaled(attention(context, layer, layer_norm(layer.norm1, stream), images, patches),
               layer.scale1));
    BasicRows<T> wide = linear(context, layer.fc1, layer_norm(layer.norm2, stream));
    activate(context, config_.hidden_act, wide);
    add(stream, scaled(linear(context, layer.fc2, wide), layer.scale2));
    context.layer_done();
    if (!config_.feature_layers.empty()) {
      states.push_back(stream);
    }
  }
  if (!states.empty()) {
    return project(context, features(states, images));
  }
  return project(context, last_norm_ ? layer_norm(*last_norm_, stream) : stream);
}

template BasicRows<float> VisionTower::forward(const Context&,
                                               const std::vector<std::vector<float>>&,
                                               const std::vector<std::vector<uint8_t>>&) const;
template BasicRows<double> VisionTower::forward(const Context&,
                                                const std::vector<std::vector<float>>&,
                                                const std::vector<std::vector<uint8_t>>&) const;

}  // namespace lorapress::reference
