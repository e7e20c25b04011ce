// The trainer's projection from image features to the decoder's embedding space.
#include "blocks/mlp.h"
#include "families/family.h"
#include "families/linear_weights.h"

namespace lorapress {

//  linear: features ── Linear ── prefix
//  mlp:    features ── Linear ── exact GELU ── (dropout) ── Linear ── prefix   (Sequential 0 to 3)
Value project(const Builder& b,
              WeightTaker& weights,
              const ProjectionConfig& config,
              int64_t in_features,
              int64_t out_features,
              const Value& features) {
  const std::string name = "projection.projection";
  if (config.type == ProjectionType::kLinear) {
    return linear(
        b, "/projection", features, take_linear(weights, name, out_features, in_features, true));
  }
  return gelu_mlp(b,
                  "/projection",
                  features,
                  take_linear(weights, name + ".0", config.mlp_hidden_dim, in_features, true),
                  take_linear(weights, name + ".3", out_features, config.mlp_hidden_dim, true),
                  Gelu::kErf);
}

}  // namespace lorapress
