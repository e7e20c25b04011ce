// Goldens' settings as rules inside a decoder's graph.
#ifndef LORAPRESS_TESTS_CC_RULES_UTIL_H_
#define LORAPRESS_TESTS_CC_RULES_UTIL_H_

#include <algorithm>
#include <string>
#include <vector>

#include "lorapress/press.h"

#include "base/json.h"
#include "bundles/graph_rules.h"

namespace lorapress::test {

// Whether a graph can have all of a golden's settings.
inline bool only_graph_rules(const Json& settings) {
  return !settings.empty() && std::ranges::all_of(settings.items(), [](const auto& item) {
    return std::ranges::find(graph_rule_keys(), std::string_view(item.key())) !=
           graph_rule_keys().end();
  });
}

// The same press with these rules, and no penalty of the checkpoint's own, inside the decoder.
inline PressOptions with_rules_inside(PressOptions options, const Json& settings) {
  options.rules_in_graph = true;
  if (!settings.contains("repetition_penalty")) {
    options.set.emplace_back("repetition_penalty=1.0");
  }
  for (const auto& [key, value] : settings.items()) {
    options.set.push_back(key + "=" + value.dump());
  }
  return options;
}

}  // namespace lorapress::test

#endif  // LORAPRESS_TESTS_CC_RULES_UTIL_H_
