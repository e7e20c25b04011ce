// A command: its options, added to the parser, and its callback. One file each, no logic of its own.
#ifndef LORAPRESS_CLI_COMMAND_H_
#define LORAPRESS_CLI_COMMAND_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lorapress/source.h"

namespace lorapress::cli {

// Set by a command's callback; the exit code of the program.
using Run = std::function<int()>;

void add_press(CLI::App& app, Run& run);
void add_export(CLI::App& app, Run& run);
void add_merge(CLI::App& app, Run& run);
void add_quantize(CLI::App& app, Run& run);
void add_caption(CLI::App& app, Run& run);
void add_generate(CLI::App& app, Run& run);
void add_verify(CLI::App& app, Run& run);
void add_score(CLI::App& app, Run& run);
void add_inspect(CLI::App& app, Run& run);
void add_deploy(CLI::App& app, Run& run);
void add_families(CLI::App& app, Run& run);
void add_bench(CLI::App& app, Run& run);
void add_serve(CLI::App& app, Run& run);
void add_upload(CLI::App& app, Run& run);
void add_watch(CLI::App& app, Run& run);

// A number from `least` to `most`; help texts say the range in words.
inline CLI::Validator number(int64_t least, int64_t most) {
  return CLI::Range(least, most).description("");
}

// --threads, the same for every command; 0 is the default.
inline void add_threads(CLI::App& command, unsigned& threads, const std::string& what) {
  constexpr int64_t kMost = 1024;
  command.add_option("--threads", threads, what)->check(number(0, kMost))->type_name("N");
}

// --engine of the commands that run a folder.
inline void add_engine(CLI::App& command,
                       std::string& engine,
                       const std::vector<std::string>& names = {"native", "ort", "auto"}) {
  const bool both = names.back() == "both";
  command
      .add_option(
          "--engine",
          engine,
          std::string(
              "native: LoraPress' own; ort: ONNX Runtime; auto: native, and ort for graphs that "
              "it does not know") +
              (both ? "; both: a row for each" : ""))
      ->check(CLI::IsMember(names))
      ->type_name("NAME")
      ->option_text(both ? "NAME:{native,ort,auto,both}=auto" : "NAME:{native,ort,auto}=auto");
}

// CHECKPOINT, --adapter DIR[:WEIGHT] and --base DIR, for the commands that read a source; each may be hf:ORG/NAME.
struct SourceArguments {
  std::string checkpoint;
  std::vector<std::string> adapters;
  std::vector<std::string> bases;
};
void add_source(CLI::App& command, SourceArguments& arguments);
// A path as it is; hf:ORG/NAME[@REVISION] as its folder in the hub's cache, fetched where it is not there.
std::filesystem::path to_folder(const std::string& text);
Source to_source(const SourceArguments& arguments);  // throws Error; fetches what is on a hub

}  // namespace lorapress::cli

#endif  // LORAPRESS_CLI_COMMAND_H_
