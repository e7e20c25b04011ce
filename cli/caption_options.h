// The options of `lorapress caption`.
#ifndef LORAPRESS_CLI_CAPTION_OPTIONS_H_
#define LORAPRESS_CLI_CAPTION_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lorapress/caption.h"

#include "generation_options.h"

namespace lorapress::cli {

struct CaptionArguments : GenerationArguments {
  std::string folder;
  std::vector<std::string> images;
  CaptionerOptions captioner;
  std::optional<int64_t> batch;
  std::string jsonl;
  bool ids = false;
  bool json = false;
};

void add_caption_options(CLI::App& command, CaptionArguments& arguments);

}  // namespace lorapress::cli

#endif  // LORAPRESS_CLI_CAPTION_OPTIONS_H_
