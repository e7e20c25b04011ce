#include "card_options.h"

namespace lorapress::cli {

void add_card(CLI::App& command, CardArguments& arguments) {
  command
      .add_option("--report",
                  arguments.report,
                  "For the model card, README.md: what `lorapress verify --json` wrote")
      ->type_name("FILE");
  command
      .add_option("--license",
                  arguments.options.license,
                  "For the model card: an identifier such as apache-2.0")
      ->type_name("ID");
  command
      .add_option("--base-model",
                  arguments.options.base_model,
                  "For the model card: what the model was made from (what its configs name)")
      ->allow_extra_args(false)
      ->type_name("ORG/NAME");
}

ModelCardOptions to_card(const CardArguments& arguments) {
  ModelCardOptions options = arguments.options;
  options.report = arguments.report;
  return options;
}

}  // namespace lorapress::cli
