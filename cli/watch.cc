#include "lorapress/watch.h"

#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"
#include "messages.h"
#include "scheme_arguments.h"
#include "terminal.h"

namespace lorapress::cli {
namespace {

struct WatchArguments {
  WatchOptions options;
  bool json = false;
};

void print(const WatchedStep& step, const WatchOptions& options) {
  clear_progress();
  if (!step.error.empty()) {
    fmt::print("step {}: not pressed: {}\n", step.step, one_line(with_flags(step.error)));
  } else {
    const std::string metric =
        step.metric ? fmt::format(", {} {:.6g}", options.metric, *step.metric) : "";
    fmt::print("step {}: pressed{}{}\n", step.step, metric, step.best ? ", the best so far" : "");
  }
  for (const WatchedCaption& said : step.captions) {
    fmt::print("  {}: {}\n", one_line(said.image), one_line(said.text));
  }
  std::fflush(stdout);
}

void print_as_json(const WatchedStep& step) {
  nlohmann::json line = {{"step", step.step}, {"best", step.best}};
  if (step.metric) {
    line["metric"] = *step.metric;
  }
  if (!step.error.empty()) {
    line["error"] = with_flags(step.error);
  }
  for (const WatchedCaption& said : step.captions) {
    line["captions"].push_back({{"image", said.image}, {"text", said.text}});
  }
  const auto replace = nlohmann::json::error_handler_t::replace;
  fmt::print("{}\n", line.dump(-1, ' ', false, replace));
  std::fflush(stdout);
}

}  // namespace

void add_watch(CLI::App& app, Run& run) {
  auto arguments = std::make_shared<WatchArguments>();
  CLI::App* command = app.add_subcommand(
      "watch", "Press each new checkpoint of a training, keep the newest and the best");
  WatchOptions& options = arguments->options;
  command->add_option("RUN", options.run, "Folder in which checkpoint-N folders appear")
      ->required()
      ->type_name("DIR");
  command
      ->add_option(
          "OUT", options.out, "Folder of the watch: newest, best, watch.json and a page for serve")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--dtype",
                   options.press.dtypes,
                   describe_dtypes("Dtypes to write, separated by commas; the first is the "
                                   "folder's default (fp32)."))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST");
  command->add_option("--bundle", options.press.bundle, "Layout of the folders, as press has it")
      ->type_name("NAME");
  command
      ->add_option(
          "--images", options.images, "Folder of images; the first 8 are captioned each time")
      ->type_name("DIR");
  command
      ->add_option("--metric",
                   options.metric,
                   "What is best: a number that the training logs; lower is better where its name "
                   "has \"loss\" in it, else higher")
      ->capture_default_str()
      ->type_name("NAME");
  command->add_flag("--once", options.once, "Press what is there and end");
  add_engine(*command, options.press.engine);
  add_threads(*command, options.press.threads, "Threads for writing (one per core, at most 4)");
  command->add_flag("--json", arguments->json, "One line of JSON for each checkpoint");
  command->callback([arguments, &run] {
    run = [arguments] {
      WatchOptions& options = arguments->options;
      const ProgressFn bar = progress_bar("watch ended; the next one goes on");
      options.progress = [&bar](const Progress& progress) {
        if (bar) {
          bar(progress);
        }
        if (progress.phase == "wait") {
          clear_progress();
        }
      };
      watch(options, [&](const WatchedStep& step) {
        if (arguments->json) {
          print_as_json(step);
        } else {
          print(step, arguments->options);
        }
      });
      clear_progress();
      return 0;
    };
  });
}

}  // namespace lorapress::cli
