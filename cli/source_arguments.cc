#include <charconv>
#include <cmath>
#include <cstdio>
#include <fmt/format.h>

#include "lorapress/error.h"
#include "lorapress/hub.h"

#include "command.h"
#include "terminal.h"

namespace lorapress::cli {
namespace {

// "dir" or "dir:0.5"; a colon that is not followed by a number belongs to the path.
AdapterSource parse_adapter(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) {
    return {text, 1.0};
  }
  double weight = 0.0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data() + colon + 1, end, weight);
  if (result.ec != std::errc{} || result.ptr != end) {
    return {text, 1.0};
  }
  if (!std::isfinite(weight)) {
    throw Error(ErrorCode::kInvalidArgument,
                "--adapter " + text + ": the weight is not a finite number");
  }
  return {text.substr(0, colon), weight};
}

}  // namespace

std::filesystem::path to_folder(const std::string& text) {
  if (!is_hub_model(text)) {
    return text;
  }
  HubOptions options;
  options.model = text;
  const HubReport report =
      fetch_from_hub(options, progress_bar("interrupted; the next run goes on from here"));
  clear_progress();
  for (const std::string& note : report.notes) {
    fmt::print(stderr, "note: {}\n", one_line(note));
  }
  return report.folder;
}

void add_source(CLI::App& command, SourceArguments& arguments) {
  command
      .add_option("CHECKPOINT",
                  arguments.checkpoint,
                  "Folder with config.json and model.safetensors (or shards), or hf:ORG/NAME[@REVISION]")
      ->required()
      ->type_name("DIR");
  command
      .add_option("--adapter",
                  arguments.adapters,
                  "PEFT adapter folder (or hf:ORG/NAME) to merge; several times for several, DIR:WEIGHT scales one")
      ->allow_extra_args(false)
      ->type_name("DIR[:WEIGHT]");
  command
      .add_option(
          "--base",
          arguments.bases,
          "Folder (or hf:ORG/NAME) with what CHECKPOINT leaves out: a config, a tokenizer, the base model's tensors")
      ->allow_extra_args(false)
      ->type_name("DIR");
}

Source to_source(const SourceArguments& arguments) {
  Source source;
  source.checkpoint = to_folder(arguments.checkpoint);
  for (const std::string& adapter : arguments.adapters) {
    AdapterSource parsed = parse_adapter(adapter);
    parsed.folder = to_folder(parsed.folder.string());
    source.adapters.push_back(std::move(parsed));
  }
  for (const std::string& base : arguments.bases) {
    source.bases.push_back(to_folder(base));
  }
  return source;
}

}  // namespace lorapress::cli
