#include "checkpoint/trained_modules.h"

#include <algorithm>
#include <set>

#include "base/fail.h"

namespace lorapress {
namespace {

constexpr int64_t kMostTokenId = int64_t{1} << 30;

std::vector<int64_t> parse_indices(const Json& json, std::string_view where) {
  std::set<int64_t> seen;
  std::vector<int64_t> indices;
  if (!json.is_array()) {
    fail(ErrorCode::kInvalidFile,
         "{}: trainable_token_indices holds {}, expected a list of token ids",
         where,
         json.type_name());
  }
  for (const Json& index : json) {
    const int64_t value = index.is_number_integer() ? index.get<int64_t>() : -1;
    if (value < 0 || value >= kMostTokenId || !seen.insert(value).second) {
      fail(ErrorCode::kInvalidFile,
           "{}: trainable_token_indices holds {}, expected token ids that stand there once",
           where,
           index.dump());
    }
    indices.push_back(value);
  }
  return indices;
}

}  // namespace

bool TrainedModules::saves(std::string_view module) const {
  return std::ranges::any_of(modules_to_save,
                             [&](const std::string& end) { return module.ends_with(end); });
}

const TrainedTokens* TrainedModules::tokens(std::string_view module, bool input) const {
  const auto found = std::ranges::find_if(trainable_token_indices, [&](const TrainedTokens& row) {
    return row.module.empty() ? input : module.ends_with(row.module);
  });
  return found == trainable_token_indices.end() ? nullptr : &*found;
}

TrainedModules parse_trained_modules(const Json& json, std::string_view where) {
  TrainedModules trained;
  trained.ensure_weight_tying = json_or<bool>(json, "ensure_weight_tying", false, where);
  if (const auto saved = json.find("modules_to_save"); saved != json.end() && !saved->is_null()) {
    const bool names = saved->is_array() && std::ranges::all_of(*saved, [](const Json& name) {
                         return name.is_string();
                       });
    if (!names) {
      fail(ErrorCode::kInvalidFile,
           "{}: modules_to_save is {}, expected a list of names",
           where,
           saved->is_array() ? "a list of other things" : saved->type_name());
    }
    trained.modules_to_save = saved->get<std::vector<std::string>>();
  }
  const auto tokens = json.find("trainable_token_indices");
  if (tokens == json.end() || tokens->is_null()) {
    return trained;
  }
  if (!tokens->is_object()) {  // a list applies to the input embedding
    trained.trainable_token_indices.push_back({"", parse_indices(*tokens, where)});
    return trained;
  }
  for (const auto& [module, indices] : tokens->items()) {
    trained.trainable_token_indices.push_back({module, parse_indices(indices, where)});
  }
  return trained;
}

}  // namespace lorapress
