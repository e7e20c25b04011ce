#include "checkpoint/config_fields.h"

#include <algorithm>

#include "base/fail.h"

namespace lorapress::config_fields {

int64_t dimension(const Json& json,
                  std::string_view key,
                  int64_t fallback,
                  std::string_view where,
                  int64_t most) {
  const auto value = json_or<int64_t>(json, key, fallback, where);
  if (value < 1 || value > most) {
    fail(ErrorCode::kInvalidFile, "{}: \"{}\" is {}, expected 1 to {}", where, key, value, most);
  }
  return value;
}

int64_t count(const Json& json, std::string_view key, int64_t fallback, std::string_view where) {
  return dimension(json, key, fallback, where, 4096);
}

double positive(const Json& json, std::string_view key, double fallback, std::string_view where) {
  const auto value = json_or<double>(json, key, fallback, where);
  constexpr double kLeast = 1e-30;  // inside float32, with room for a product
  constexpr double kMost = 1e30;
  if (!(value >= kLeast && value <= kMost)) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"{}\" is {}, expected a positive number up to {}",
         where,
         key,
         value,
         kMost);
  }
  return value;
}

void require_activation(const Json& json, std::string_view known, std::string_view where) {
  const auto name = json_or<std::string>(json, "hidden_act", std::string(known), where);
  if (name != known) {
    fail(ErrorCode::kUnsupported,
         "{}: hidden_act \"{}\" is not supported, expected \"{}\"",
         where,
         name,
         known);
  }
}

std::string activation(const Json& json,
                       std::span<const std::string_view> known,
                       std::string_view where,
                       std::string_view key) {
  const auto name = json_or<std::string>(json, key, std::string(known[0]), where);
  if (std::ranges::find(known, name) == known.end()) {
    fail(ErrorCode::kUnsupported,
         "{}: {} \"{}\" is not supported, expected \"{}\"",
         where,
         key,
         name,
         fmt::join(known, "\" or \""));
  }
  return name;
}

void require_divisible(int64_t value, int64_t by, std::string_view what, std::string_view where) {
  if (value % by != 0) {
    fail(ErrorCode::kInvalidFile, "{}: {}: {} is not a multiple of {}", where, what, value, by);
  }
}

std::vector<int64_t> token_ids(const Json& json, std::string_view key, std::string_view where) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) {
    return {};
  }
  std::vector<int64_t> ids;
  for (const Json& id : found->is_array() ? *found : Json::array({*found})) {
    if (!id.is_number_integer() || id < 0 || id > INT32_MAX) {
      fail(ErrorCode::kInvalidFile,
           "{}: \"{}\" holds {}, expected token ids",
           where,
           key,
           id.dump());
    }
    ids.push_back(id.get<int64_t>());
  }
  return ids;
}

int64_t token_id(const Json& json, std::string_view key, std::string_view where) {
  const std::vector<int64_t> ids = token_ids(json, key, where);
  return ids.empty() ? -1 : ids[0];
}

void read_special_tokens(const Json& json, std::string_view where, TextConfig& config) {
  if (json.contains("eos_token_id")) {
    config.eos_token_ids = token_ids(json, "eos_token_id", where);
  }
  if (json.contains("bos_token_id")) {
    config.bos_token_id = token_id(json, "bos_token_id", where);
  }
  if (json.contains("pad_token_id")) {
    config.pad_token_id = token_id(json, "pad_token_id", where);
  }
}

}  // namespace lorapress::config_fields
