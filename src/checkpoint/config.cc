#include "checkpoint/config.h"

#include "base/fail.h"
#include "checkpoint/model_types.h"

namespace lorapress {
namespace {

template <typename Row>
auto parse(std::span<const Row* const> rows, const Json& json, std::string_view where) {
  const std::string first(rows[0]->model_type);
  const auto model_type = json_or<std::string>(json, "model_type", first, where);
  const Row* row = find_model_type(rows, model_type);
  if constexpr (requires { row->whole_model_type; }) {
    // Older files name the whole model in the tower's config, too.
    const auto found = std::ranges::find(rows, model_type, &Row::whole_model_type);
    row = row == nullptr && found != rows.end() ? *found : row;
  }
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
  config.model_type = row->model_type;
  return config;
}

}  // namespace

VisionConfig parse_vision_config(const Json& json, std::string_view where) {
  return parse(vision_model_types(), json, where);
}

TextConfig parse_text_config(const Json& json, std::string_view where) {
  return parse(text_model_types(), json, where);
}

const TextNames& text_names(std::string_view model_type) {
  static const TextNames usual;
  const TextModelType* row = find_model_type(text_model_types(), model_type);
  return row == nullptr ? usual : row->names;
}

}  // namespace lorapress
