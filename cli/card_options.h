// The options of commands that write a model card.
#ifndef LORAPRESS_CLI_CARD_OPTIONS_H_
#define LORAPRESS_CLI_CARD_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <string>

#include "lorapress/deploy.h"

namespace lorapress::cli {

struct CardArguments {
  std::string report;
  ModelCardOptions options;
};
void add_card(CLI::App& command, CardArguments& arguments);
ModelCardOptions to_card(const CardArguments& arguments);

}  // namespace lorapress::cli

#endif  // LORAPRESS_CLI_CARD_OPTIONS_H_
