#include "lorapress/deploy.h"

#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "card_options.h"
#include "command.h"
#include "messages.h"
#include "terminal.h"

namespace lorapress::cli {
namespace {

struct DeployArguments {
  std::string model;
  std::string site;
  std::string page;
  CardArguments card;
  DeployOptions options;
  bool json = false;
};

void print(const DeployReport& report, const std::string& site) {
  uint64_t total = 0;
  for (const OutputFileInfo& file : report.files) {
    total += file.bytes;
  }
  fmt::print("{} files, {}\n", report.files.size(), human_bytes(total));
  print_notes(report.notes);
  fmt::print("\n{} is ready for any static host; here: lorapress serve {}\n",
             printable(site),
             printable(site));
}

nlohmann::json to_json(const DeployReport& report, const std::string& site) {
  nlohmann::json json = {
      {"out", site}, {"notes", with_flags(report.notes)}, {"files", nlohmann::json::array()}};
  for (const OutputFileInfo& file : report.files) {
    json["files"].push_back({{"path", file.path}, {"bytes", file.bytes}});
  }
  return json;
}

}  // namespace

void add_deploy(CLI::App& app, Run& run) {
  auto arguments = std::make_shared<DeployArguments>();
  CLI::App* command = app.add_subcommand(
      "deploy", "Make a folder that press wrote into a static site: page, runtime, model, headers");
  command->add_option("OUT", arguments->model, "Folder that press wrote")
      ->required()
      ->type_name("DIR");
  command->add_option("SITE", arguments->site, "Folder to write; must not exist unless --force")
      ->required()
      ->type_name("DIR");
  command
      ->add_option(
          "--page",
          arguments->page,
          "The built page (LORAPRESS_PAGE, or the one beside the program; `make page` builds it)")
      ->type_name("DIR");
  add_card(*command, arguments->card);
  command->add_flag(
      "--force", arguments->options.force, "Replace SITE where it is a site that LoraPress wrote");
  command->add_flag("--json", arguments->json, "Report as one JSON document");
  command->callback([arguments, &run] {
    run = [arguments] {
      arguments->options.model = arguments->model;
      arguments->options.site = arguments->site;
      arguments->options.page = arguments->page;
      arguments->options.card = to_card(arguments->card);
      const DeployReport report = deploy(arguments->options);
      if (arguments->json) {
        print_json(to_json(report, arguments->site));
      } else {
        print(report, arguments->site);
      }
      return 0;
    };
  });
}

}  // namespace lorapress::cli
