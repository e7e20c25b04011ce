// What stands between image features and the decoder's embedding space.
#include <cmath>

#include "families/encoder.h"
#include "families/linear_weights.h"

namespace lorapress {
namespace {

// Squares of `factor` x `factor` patches become one position, as Idefics3Connector.pixel_shuffle:
//  [N, g, g, D] -> [N, g, g/f, f*D] -> transposed [N, g/f, g, f*D] -> [N, g/f, g/f, f*f*D] -> back
Value pixel_shuffle(const Builder& b, const Value& features, int64_t factor, int64_t width) {
  const int64_t patches = features.dim(1).value;
  const auto grid = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(patches))));
  const int64_t small = grid / factor;
  const auto step = [&](const std::string& name, const Value& x, const std::vector<int64_t>& dims) {
    return b.graph.op("Reshape", "/projection/" + name, {x, b.graph.integers(dims)});
  };
  const auto turn = [&](const std::string& name, const Value& x) {
    return b.graph.op(
        "Transpose", "/projection/" + name, {x}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  };
  const Value rows = step("rows", features, {0, grid, small, factor * width});
  const Value squares =
      step("squares", turn("columns_first", rows), {0, small, small, factor * factor * width});
  return step("shuffled", turn("rows_first", squares), {0, small * small, factor * factor * width});
}

}  // namespace

//  pixel shuffle: features ── squares of patches ── Linear without bias ── image tokens
//  linear: features ── Linear ── prefix
//  mlp:    features ── Linear ── GELU ── (dropout) ── Linear ── prefix
Value project(const Builder& b,
              WeightTaker& weights,
              const ProjectionConfig& config,
              int64_t in_features,
              int64_t out_features,
              const Value& features) {
  const auto take = [&](const std::string& name, int64_t out, int64_t in) {
    return take_linear(weights, name, out, in, config.biased);
  };
  if (config.type == ProjectionType::kPixelShuffle) {
    const int64_t wide = in_features * config.scale_factor * config.scale_factor;
    return linear(b,
                  "/projection",
                  pixel_shuffle(b, features, config.scale_factor, in_features),
                  take(config.first, out_features, wide));
  }
  if (config.type == ProjectionType::kLinear) {
    return linear(b, "/projection", features, take(config.first, out_features, in_features));
  }
  return gelu_mlp(b,
                  "/projection",
                  features,
                  take(config.first, config.mlp_hidden_dim, in_features),
                  take(config.last, out_features, config.mlp_hidden_dim),
                  gelu_named(config.hidden_act));
}

}  // namespace lorapress
