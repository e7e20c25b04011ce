#include "lorapress/merge.h"

#include <chrono>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "lorapress/report_json.h"

#include "command.h"
#include "messages.h"
#include "terminal.h"

namespace lorapress::cli {
namespace {

struct MergeArguments {
  SourceArguments source;
  std::string out;
  MergeOptions options;
  bool json = false;
};

int run_merge(MergeArguments& arguments) {
  arguments.options.source = to_source(arguments.source);
  arguments.options.out = arguments.out;
  arguments.options.progress = progress_bar();
  const auto start = std::chrono::steady_clock::now();
  const MergeReport report = merge(arguments.options);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  clear_progress();
  if (arguments.json) {
    print_report_json(to_json(report), {{"out", arguments.out}, {"seconds", seconds}});
    return 0;
  }
  for (const OutputFileInfo& file : report.files) {
    fmt::print("  {:<42} {:>10}\n", file.path, human_bytes(file.bytes));
  }
  fmt::print("\n{} tensors, {} merged with an adapter, {} parameters\n",
             report.tensors,
             report.merged,
             human_count(report.parameters));
  fmt::print("{}; peak memory {}\n", human_seconds(seconds), human_bytes(peak_memory_bytes()));
  print_notes(report.notes);
  return 0;
}

}  // namespace

void add_merge(CLI::App& app, Run& run) {
  auto arguments = std::make_shared<MergeArguments>();
  CLI::App* command = app.add_subcommand(
      "merge",
      "Merge adapters into a checkpoint that transformers loads, as PEFT's merge_and_unload does");
  add_source(*command, arguments->source);
  command->add_option("OUT", arguments->out, "Folder to write; must not exist unless --force")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--dtype",
                   arguments->options.dtype,
                   "keep, fp32, fp16 or bf16; computed in float32, rounded once")
      ->check(CLI::IsMember({"keep", "fp32", "fp16", "bf16"}))
      ->capture_default_str()
      ->type_name("NAME");
  add_threads(
      *command, arguments->options.threads, "Threads for writing (one per core, at most 4)");
  command->add_flag(
      "--force", arguments->options.force, "Replace OUT where it is a folder that LoraPress wrote");
  command->add_flag("--json", arguments->json, "Report as one JSON document");
  command->callback([arguments, &run] { run = [arguments] { return run_merge(*arguments); }; });
}

}  // namespace lorapress::cli
