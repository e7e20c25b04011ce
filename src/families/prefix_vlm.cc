// The trainer's own class: a vision tower, a projection, and a decoder that sees the image as
// positions before its text.
#include "base/fail.h"
#include "checkpoint/config_fields.h"
#include "checkpoint/model_types.h"

namespace lorapress {
namespace {

std::optional<ProjectionConfig> read_prefix_vlm_projection(const Json& json,
                                                           std::string_view where) {
  ProjectionConfig config;
  const auto type = json_or<std::string>(json, "projection_type", "linear", where);
  if (type != "linear" && type != "mlp") {
    fail(ErrorCode::kUnsupported,
         "{}: projection_type \"{}\" is not supported (linear and mlp are)",
         where,
         type);
  }
  config.type = type == "mlp" ? ProjectionType::kMlp : ProjectionType::kLinear;
  if (config.type == ProjectionType::kMlp) {  // nn.Sequential: Linear, GELU, Dropout, Linear
    config.first = "projection.projection.0";
    config.last = "projection.projection.3";
  }
  config.mlp_hidden_dim =
      config_fields::dimension(json, "mlp_hidden_dim", config.mlp_hidden_dim, where);
  return config;
}

}  // namespace

extern const CompositeModelType kPrefixVlm;
const CompositeModelType kPrefixVlm{
    "prefix_conditioning_vlm",
    "PrefixConditioningVLM",
    Conditioning::kPrefix,
    "vision_config",
    "text_config",
    {},  // canonical
    read_prefix_vlm_projection,
};

}  // namespace lorapress
