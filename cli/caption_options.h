// The options of `lorapress caption`.
#ifndef LORAPRESS_CLI_CAPTION_OPTIONS_H_
#define LORAPRESS_CLI_CAPTION_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lorapress/caption.h"

namespace lorapress::cli {

struct CaptionArguments {
  std::string folder;
  std::vector<std::string> images;
  CaptionerOptions captioner;
  GenerateOptions generate;
  std::string early_stopping;  // empty: the folder's setting
  std::string do_sample;       // empty: true with any of temperature, top_k, top_p and seed
  std::optional<uint32_t> seed;
  std::optional<int64_t> batch;
  std::string jsonl;
  bool ids = false;
  bool json = false;
};

void add_caption_options(CLI::App& command, CaptionArguments& arguments);
// After parsing: combines the options.
void finish_caption_options(CaptionArguments& arguments);

}  // namespace lorapress::cli

#endif  // LORAPRESS_CLI_CAPTION_OPTIONS_H_
