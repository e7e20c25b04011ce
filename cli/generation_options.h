// The options of generation that `lorapress caption` and `lorapress generate` share.
#ifndef LORAPRESS_CLI_GENERATION_OPTIONS_H_
#define LORAPRESS_CLI_GENERATION_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "lorapress/caption.h"

namespace lorapress::cli {

struct GenerationArguments {
  GenerateOptions generate;
  std::string early_stopping;  // empty: the folder's setting
  std::string do_sample;       // empty: true with any of temperature, top_k, top_p and seed
  std::optional<uint32_t> seed;
};

// --system and --raw-prompt.
void add_chat_options(CLI::App& command, GenerationArguments& arguments);
// Length and repetition, beam search, sampling. `what` is generated: "caption", "text".
void add_generation_options(CLI::App& command,
                            GenerationArguments& arguments,
                            const std::string& what);
// After parsing: combines the options.
void finish_generation_options(GenerationArguments& arguments);

}  // namespace lorapress::cli

#endif  // LORAPRESS_CLI_GENERATION_OPTIONS_H_
