// From transformers, models/siglip/modeling_siglip.py: SiglipVisionEmbeddings, SiglipAttention,
// SiglipMLP, SiglipEncoderLayer, SiglipVisionTransformer. The pooling head is not part of the
// model: the trainer projects last_hidden_state, which is after post_layernorm.
#include "verify/reference_vision.h"

#include <utility>

#include "base/fail.h"

namespace lorapress::reference {

VisionTower::VisionTower(const Checkpoint& checkpoint, WeightTaker& weights)
    : config_(checkpoint.vision.value()) {
  if (config_.model_type != "siglip_vision_model") {
    fail(ErrorCode::kUnsupported, "model_type \"{}\" has no reference forward", config_.model_type);
  }
  const std::string root = "vision_encoder.";
  const int64_t hidden = config_.hidden_size;
  const auto norm = [&](const std::string& name) {
    return Norm{weights.take(name + ".weight", {hidden}),
                weights.take(name + ".bias", {hidden}),
                config_.layer_norm_eps};
  };
  const std::string patch = root + "embeddings.patch_embedding";
  patch_embedding_ = {
      patch,
      weights.take(patch + ".weight",
                   {hidden, config_.num_channels, config_.patch_size, config_.patch_size}),
      weights.take(patch + ".bias", {hidden})};
  position_embedding_ =
      weights.take(root + "embeddings.position_embedding.weight", {config_.patches(), hidden});
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    const std::string name = root + "encoder.layers." + std::to_string(i) + ".";
    const auto square = [&](const char* part) {
      return take_linear(weights, name + "self_attn." + part, hidden, hidden, true);
    };
    const int64_t wide = config_.intermediate_size;
    layers_.push_back({norm(name + "layer_norm1"),
                       square("q_proj"),
                       square("k_proj"),
                       square("v_proj"),
                       square("out_proj"),
                       norm(name + "layer_norm2"),
                       take_linear(weights, name + "mlp.fc1", wide, hidden, true),
                       take_linear(weights, name + "mlp.fc2", hidden, wide, true)});
  }
  post_layernorm_ = norm(root + "post_layernorm");
  weights.drop(root + "head.");

  const std::string projection = "projection.projection";
  const int64_t width = checkpoint.text.value().hidden_size;
  const ProjectionConfig& kind = checkpoint.projection.value();
  if (kind.type == ProjectionType::kLinear) {
    projection_ = {take_linear(weights, projection, width, hidden, true)};
  } else {
    projection_ = {take_linear(weights, projection + ".0", kind.mlp_hidden_dim, hidden, true),
                   take_linear(weights, projection + ".3", width, kind.mlp_hidden_dim, true)};
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
                                    int64_t images) const {
  const BasicRows<T> q = linear(context, layer.q, x);
  const BasicRows<T> k = linear(context, layer.k, x);
  const BasicRows<T> v = linear(context, layer.v, x);
  BasicRows<T> joined(x.rows, x.cols);
  const int64_t tokens = config_.patches();
  const int64_t heads = config_.num_attention_heads;
  std::vector<AttentionPart<T>> parts;
  for (int64_t image = 0; image < images; ++image) {
    const int64_t at = image * tokens * x.cols;
    parts.push_back({q.values.data() + at,
                     k.values.data() + at,
                     v.values.data() + at,
                     joined.values.data() + at,
                     tokens,
                     tokens});
  }
  attend(context, {heads, heads, config_.hidden_size / heads, false}, parts);
  return linear(context, layer.out, joined);
}

template <typename T>
BasicRows<T> VisionTower::project(const Context& context, const BasicRows<T>& features) const {
  BasicRows<T> x = linear(context, projection_[0], features);
  if (projection_.size() == 2) {
    gelu_erf(context, x);
    x = linear(context, projection_[1], x);
  }
  return x;
}

template <typename T>
BasicRows<T> VisionTower::forward(const Context& context,
                                  const std::vector<std::vector<float>>& pixel_values) const {
  const auto images = static_cast<int64_t>(pixel_values.size());
  BasicRows<T> stream = linear(context, patch_embedding_, unfold<T>(pixel_values));
  const std::vector<float> positions = read_all_float32(*position_embedding_);
  for (size_t i = 0; i < stream.values.size(); ++i) {
    stream.values[i] += static_cast<T>(positions[i % positions.size()]);
  }
  for (const Layer& layer : layers_) {
    add(stream, attention(context, layer, layer_norm(layer.norm1, stream), images));
    BasicRows<T> wide = linear(context, layer.fc1, layer_norm(layer.norm2, stream));
    gelu_tanh(context, wide);
    add(stream, linear(context, layer.fc2, wide));
    context.layer_done();
  }
  return project(context, layer_norm(post_layernorm_, stream));
}

template BasicRows<float> VisionTower::forward(const Context&,
                                               const std::vector<std::vector<float>>&) const;
template BasicRows<double> VisionTower::forward(const Context&,
                                                const std::vector<std::vector<float>>&) const;

}  // namespace lorapress::reference
