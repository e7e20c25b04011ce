#include "schemes/outcome.h"

#include <algorithm>
#include <map>

#include "base/fail.h"

namespace lorapress {

std::string describe_kept(const SchemeOutcome& outcome) {
  constexpr size_t kMost = 20;  // names per reason
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const KeptMatrix& kept : outcome.kept) {
    by_reason[kept.reason].push_back(kept.name);
  }
  std::vector<std::string> groups;
  for (auto& [reason, names] : by_reason) {
    const size_t more = names.size() - std::min(names.size(), kMost);
    names.resize(names.size() - more);
    groups.push_back(fmt::format("{}{} ({})",
                                 fmt::join(names, ", "),
                                 more == 0 ? "" : fmt::format(" and {} more", more),
                                 reason));
  }
  return fmt::format("{}", fmt::join(groups, "; "));
}

}  // namespace lorapress
