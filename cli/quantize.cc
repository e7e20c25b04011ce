#include "lorapress/quantize.h"

#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "lorapress/report_json.h"

#include "command.h"
#include "messages.h"
#include "scheme_arguments.h"
#include "terminal.h"

namespace lorapress::cli {
namespace {

struct QuantizeArguments {
  std::string model;
  std::string out;
  SchemeArguments scheme;
  QuantizeOptions options;
  bool json = false;
};

uint64_t total_bytes(const QuantizeReport& report) {
  uint64_t total = 0;
  for (const OutputFileInfo& file : report.files) {
    total += file.bytes;
  }
  return total;
}

void print(const QuantizeReport& report) {
  for (const OutputFileInfo& file : report.files) {
    fmt::print("  {:<42} {:>10}\n", printable(file.path), human_bytes(file.bytes));
  }
  const uint64_t out = total_bytes(report);
  fmt::print("\n{} -> {}", human_bytes(report.bytes_in), human_bytes(out));
  if (out != 0) {
    fmt::print(" ({:.2f} times smaller)",
               static_cast<double>(report.bytes_in) / static_cast<double>(out));
  }
  fmt::print("\n");
  std::string changes;
  for (const auto& [name, count] : report.operators) {
    changes += fmt::format("{}{} {:+}", changes.empty() ? "" : ", ", printable(name), count);
  }
  if (!changes.empty()) {
    fmt::print("nodes: {}\n", changes);
  }
  if (report.calibration_images > 0) {
    fmt::print("calibrated: {} weights with {} images in {}; {} not observed, plain search\n",
               report.calibrated_weights,
               report.calibration_images,
               human_seconds(report.calibrate_seconds),
               report.uncalibrated_weights);
  }
  fmt::print("read {}, rewrite {}, write {}; peak memory {}\n",
             human_seconds(report.read_seconds),
             human_seconds(report.rewrite_seconds),
             human_seconds(report.write_seconds),
             human_bytes(peak_memory_bytes()));
  print_notes(report.notes);
}

int run_quantize(QuantizeArguments& arguments) {
  arguments.options.model = arguments.model;
  arguments.options.out = arguments.out;
  arguments.options.scheme = to_scheme(arguments.scheme);
  arguments.options.calibrate = arguments.scheme.calibrate;
  arguments.options.progress = progress_bar();
  QuantizeReport report = quantize(arguments.options);
  add_scheme_notes(arguments.scheme, report.notes);
  clear_progress();
  if (arguments.json) {
    print_report_json(to_json(report),
                      {{"out", arguments.out}, {"dtype", arguments.options.dtype}});
  } else {
    print(report);
  }
  return 0;
}

}  // namespace

void add_quantize(CLI::App& app, Run& run) {
  auto arguments = std::make_shared<QuantizeArguments>();
  QuantizeOptions& options = arguments->options;
  CLI::App* command =
      app.add_subcommand("quantize", "Write any .onnx file with smaller weights, as one dtype");
  command->add_option("IN", arguments->model, "ONNX file; external data is read beside it")
      ->required()
      ->type_name("FILE");
  command->add_option("OUT", arguments->out, "ONNX file to write; must not exist unless --force")
      ->required()
      ->type_name("FILE");
  command->add_option("--dtype", options.dtype, describe_dtypes("Dtype to write:"))
      ->required()
      ->type_name("NAME");
  add_scheme(*command, arguments->scheme);
  command->add_flag("--external-data",
                    options.external_data,
                    "Weights in OUT_data beside the graph (always so above 2 GB)");
  command->add_flag("--freeze-inputs",
                    options.freeze_inputs,
                    "Initializers that are inputs, too, become constants that no caller can feed");
  command->add_flag("--allow-unquantized",
                    options.allow_unquantized,
                    "Write OUT even if the dtype changes nothing in it");
  add_threads(*command, options.threads, "Threads for writing (one per core, at most 4)");
  command->add_flag("--force", options.force, "Replace files that are there");
  command->add_flag("--json", arguments->json, "Report as one JSON document");
  command->callback([arguments, &run] { run = [arguments] { return run_quantize(*arguments); }; });
}

}  // namespace lorapress::cli
