#include "bundles/preferred_dtypes.h"

#include <algorithm>
#include <array>
#include <ranges>
#include <set>

#include "base/fail.h"
#include "schemes/scheme.h"

namespace lorapress {
namespace {

constexpr std::array<std::pair<std::string_view, int WebRanks::*>, 3> kBackends = {{
    {"wasm", &WebRanks::wasm},
    {"webgpu", &WebRanks::webgpu},
    {"webgpu_f16", &WebRanks::webgpu_f16},
}};

}  // namespace

Json preferred_dtypes_json(std::vector<std::string> dtypes) {
  Json json;
  for (const auto& [backend, rank] : kBackends) {
    const auto rank_of = [&](const std::string& dtype) { return scheme(dtype).web.*rank; };
    std::ranges::sort(dtypes, {}, rank_of);
    json[backend] = Json::array();
    std::ranges::copy_if(dtypes, std::back_inserter(json[backend]), rank_of);
  }
  return json;
}

void check_preferred_dtypes(const Json& json, const std::string& where, const GraphTable& graphs) {
  for (const auto& [backend, rank] : kBackends) {
    const auto dtypes = json.find(backend);
    std::set<std::string> named;
    const bool sound = dtypes != json.end() && dtypes->is_array() &&
                       std::ranges::all_of(*dtypes, [&](const Json& dtype) {
                         return dtype.is_string() && graphs.contains(dtype.get<std::string>()) &&
                                named.insert(dtype.get<std::string>()).second;
                       });
    if (!sound || json.size() != kBackends.size()) {
      fail(ErrorCode::kInvalidFile,
           "{}: \"preferred_dtypes\" is not a list of dtypes of \"graphs\", each once, for {}",
           where,
           fmt::join(kBackends | std::views::keys, ", "));
    }
  }
}

}  // namespace lorapress
