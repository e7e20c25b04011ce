#include "lorapress/upload.h"

#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "card_options.h"
#include "command.h"
#include "messages.h"
#include "terminal.h"

namespace lorapress::cli {
namespace {

struct UploadArguments {
  std::string model;
  CardArguments card;
  UploadOptions options;
  bool json = false;
};

int run_upload(UploadArguments& arguments) {
  arguments.options.model = arguments.model;
  arguments.options.card = to_card(arguments.card);
  const UploadReport report = upload(arguments.options);
  if (arguments.json) {
    print_json({{"repository", arguments.options.repository},
                {"tag", arguments.options.tag},
                {"files", report.files},
                {"bytes", report.bytes},
                {"commit", report.commit},
                {"url", report.url}});
  } else {
    fmt::print("{} files, {}: {}\n", report.files, human_bytes(report.bytes), one_line(report.url));
  }
  return 0;
}

}  // namespace

void add_upload(CLI::App& app, Run& run) {
  auto arguments = std::make_shared<UploadArguments>();
  UploadOptions& options = arguments->options;
  CLI::App* command = app.add_subcommand(
      "upload",
      "Put a folder that press wrote onto a model hub (HF_ENDPOINT), through its own Python client");
  command->add_option("OUT", arguments->model, "Folder that press wrote")
      ->required()
      ->type_name("DIR");
  command->add_option("REPOSITORY", options.repository, "ORG/NAME; made where it does not exist")
      ->required()
      ->type_name("");
  command->add_option("--tag", options.tag, "Tag of the commit: a version such as v1.0.0")
      ->type_name("NAME");
  command->add_option("--message", options.message, "Message of the commit")->type_name("WORDS");
  command->add_flag(
      "--private", options.is_private, "Where the repository is made: for its members only");
  add_card(*command, arguments->card);
  command->add_flag("--json", arguments->json, "Report as one JSON document");
  command->callback([arguments, &run] { run = [arguments] { return run_upload(*arguments); }; });
}

}  // namespace lorapress::cli
