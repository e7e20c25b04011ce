#include "lorapress/families.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "lorapress/press.h"

#include "command.h"
#include "messages.h"

namespace lorapress::cli {
namespace {

nlohmann::json to_json(const std::vector<FamilyInfo>& families) {
  nlohmann::json rows = nlohmann::json::array();
  for (const FamilyInfo& family : families) {
    nlohmann::json row = {{"model_type", family.model_type}, {"bundles", family.bundles}};
    if (!family.architecture.empty()) {
      row["architecture"] = family.architecture;
      row["conditioning"] = family.conditioning;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

nlohmann::json bundles_json() {
  nlohmann::json rows = nlohmann::json::array();
  for (const BundleInfo& bundle : known_bundles()) {
    rows.push_back({{"name", bundle.name}, {"summary", bundle.summary}});
  }
  return rows;
}

void print(std::string_view title, const std::vector<FamilyInfo>& families) {
  fmt::print("{}\n", title);
  for (const FamilyInfo& family : families) {
    fmt::print("  {:<26} {:<36} {}\n",
               family.model_type,
               family.architecture,
               fmt::join(family.bundles, ", "));
  }
}

void print(const KnownFamilies& known) {
  print("checkpoints with an encoder and a decoder (model_type, class, bundles)",
        known.checkpoints);
  print(
      "\ndecoders, alone or in such a checkpoint (model_type, class, bundles of one alone, if it can be)",
      known.decoders);
  print("\nencoders, in such a checkpoint (model_type, bundles)", known.encoders);
  fmt::print(
      "\n`lorapress inspect CHECKPOINT` says what a checkpoint is and which bundles take it;\n"
      "`lorapress press --help` says what each bundle is for.\n");
}

}  // namespace

void add_families(CLI::App& app, Run& run) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand(
      "families", "List the checkpoints, decoders and encoders that can be pressed, and to what");
  command->add_flag("--json", *json, "Print one JSON document");
  command->callback([json, &run] {
    run = [json] {
      const KnownFamilies known = known_families();
      if (*json) {
        print_json({{"checkpoints", to_json(known.checkpoints)},
                    {"decoders", to_json(known.decoders)},
                    {"encoders", to_json(known.encoders)},
                    {"bundles", bundles_json()}});
      } else {
        print(known);
      }
      return 0;
    };
  });
}

}  // namespace lorapress::cli
