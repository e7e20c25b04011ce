#include "lorapress/version.h"

#include <commit.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "command.h"

namespace lorapress::cli {

void print_version_json() {
  const BuildInfo info = build_info();
  nlohmann::json dependencies = nlohmann::json::object();
  for (const Dependency& dependency : info.dependencies) {
    dependencies[dependency.name] = dependency.version;
  }
  const nlohmann::json document = {{"version", info.version},
                                   {"commit", LORAPRESS_COMMIT},
                                   {"target", info.target},
                                   {"compiler", info.compiler},
                                   {"dependencies", dependencies}};
  fmt::print("{}\n", document.dump(2));
}

}  // namespace lorapress::cli
