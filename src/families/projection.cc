// What stands between image features and the decoder's embedding space.
#include "families/encoder.h"
#include "families/linear_weights.h"

namespace lorapress {

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
