#include "checkpoint/config.h"

#include "base/fail.h"
#include "checkpoint/config_fields.h"
#include "checkpoint/model_types.h"

namespace lorapress {
namespace {

template <typename Row>
auto parse(std::span<const Row* const> rows, const Json& json, std::string_view where) {
  const std::string first(rows[0]->model_type);
  const auto model_type = json_or<std::string>(json, "model_type", first, where);
  const Row* row = find_model_type(rows, model_type);
  if (row == nullptr) {
    std::vector<std::string_view> known;
    std::ranges::transform(rows, std::back_inserter(known), &Row::model_type);
    fail(ErrorCode::kUnsupported,
         "{}: model_type \"{}\" is not supported here, expected \"{}\"",
         where,
         model_type,
         fmt::join(known, "\" or \""));
  }
  auto config = row->read_config(json, where);
  config.model_type = model_type;
  return config;
}

}  // namespace

VisionConfig parse_vision_config(const Json& json, std::string_view where) {
  return parse(vision_model_types(), json, where);
}

TextConfig parse_text_config(const Json& json, std::string_view where) {
  return parse(text_model_types(), json, where);
}

ProjectionConfig parse_projection_config(const Json& json, std::string_view where) {
  ProjectionConfig config;
  const auto type = json_or<std::string>(json, "projection_type", "linear", where);
  if (type != "linear" && type != "mlp") {
    fail(ErrorCode::kUnsupported,
         "{}: projection_type \"{}\" is not supported (linear and mlp are)",
         where,
         type);
  }
  config.type = type == "mlp" ? ProjectionType::kMlp : ProjectionType::kLinear;
  config.mlp_hidden_dim =
      config_fields::dimension(json, "mlp_hidden_dim", config.mlp_hidden_dim, where);
  return config;
}

}  // namespace lorapress
