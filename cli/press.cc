#include "lorapress/press.h"

#include <fmt/format.h>
#include <memory>

#include "lorapress/report_json.h"

#include "command.h"
#include "messages.h"
#include "scheme_arguments.h"
#include "terminal.h"

namespace lorapress::cli {
namespace {

struct PressArguments {
  SourceArguments source;
  std::string out;
  std::string ops = "ort";
  SchemeArguments scheme;
  PressOptions options;
  bool json = false;
};

void print(const PressReport& report, const std::string& out) {
  uint64_t total = 0;
  for (const OutputFileInfo& file : report.files) {
    fmt::print("  {:<42} {:>10}\n", file.path, human_bytes(file.bytes));
    total += file.bytes;
  }
  fmt::print("  {:<42} {:>10}\n\n", "in all", human_bytes(total));
  fmt::print("{} parameters, {} tensors merged with an adapter\n",
             human_count(report.parameters),
             report.adapted_tensors);
  fmt::print("read {}, graphs {}, write {}",
             human_seconds(report.read_seconds),
             human_seconds(report.author_seconds),
             human_seconds(report.write_seconds));
  if (report.caption) {
    fmt::print(", check and {} {}",
               report.takes_images ? "caption" : "generate",
               human_seconds(report.caption_seconds));
  }
  fmt::print("; peak memory {}\n", human_bytes(peak_memory_bytes()));
  print_notes(report.notes);
  if (report.caption) {
    fmt::print("checked: {} loads and runs, {} tokens for a {}\n",
               one_line(report.caption_dtype),
               report.caption->ids.size(),
               report.takes_images ? "test card" : "prompt");
  }
  if (!report.takes_images) {
    fmt::print("\n{} is ready: lorapress generate {} PROMPT\n", printable(out), printable(out));
  } else if (report.caption || report.bundle == known_bundles().front().name) {
    fmt::print("\n{} is ready: lorapress caption {} IMAGE\n", printable(out), printable(out));
  } else {
    fmt::print("\n{} is ready: docs/bundles.md says what runs it\n", printable(out));
  }
}

using Action = PressReport (*)(const PressOptions&);

void add(CLI::App& app,
         Run& run,
         const std::string& name,
         const std::string& description,
         Action action) {
  auto arguments = std::make_shared<PressArguments>();
  CLI::App* command = app.add_subcommand(name, description);
  add_source(*command, arguments->source);
  command->add_option("OUT", arguments->out, "Folder to write; must not exist unless --force")
      ->required()
      ->type_name("DIR");
  std::string bundles =
      "Layout of the folder; the first that takes the checkpoint unless it is given:";
  for (const BundleInfo& bundle : known_bundles()) {
    bundles += "\n" + bundle.name + ": " + bundle.summary;
  }
  PressOptions& options = arguments->options;
  command->add_option("--bundle", options.bundle, bundles)->type_name("NAME");
  command
      ->add_option("--dtype",
                   options.dtypes,
                   describe_dtypes("Dtypes to write, separated by commas; the first is the "
                                   "folder's default (fp32; of bundle firefox q8)."))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST");
  command
      ->add_option("--ops",
                   arguments->ops,
                   "ort: ONNX Runtime's fused operators, fastest there; standard: ai.onnx only, "
                   "runs everywhere")
      ->check(CLI::IsMember({"ort", "standard"}))
      ->capture_default_str()
      ->type_name("NAME");
  constexpr int kFirstOpset = 17;
  constexpr int kLastOpset = 23;
  command->add_option("--opset", options.opset, "ONNX opset, 17 to 23")
      ->check(number(kFirstOpset, kLastOpset))
      ->capture_default_str()
      ->type_name("N");
  command
      ->add_option("--max-new-tokens",
                   options.max_new_tokens,
                   "Written as the folder's default (the checkpoint's own, else 30)")
      ->check(number(1, 1 << 20))
      ->type_name("N");
  command
      ->add_option(
          "--set",
          options.set,
          "A generation setting in place of the checkpoint's own, as repetition_penalty=1.2 or "
          "eos_token_id=[0,2]; null: none. May be given several times")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  command
      ->add_option(
          "--bad-words",
          options.bad_words,
          "Text file of words, one a line, that captions must not hold: added to bad_words_ids "
          "with and without a space before them")
      ->type_name("FILE");
  command
      ->add_option(
          "--prompt",
          options.prompt,
          "Written as the folder's default: what is asked or continued where no other prompt "
          "is given (none)")
      ->type_name("WORDS");
  command
      ->add_option(
          "--num-beams",
          options.num_beams,
          "single: beam search of N beams inside the graph, 1: greedy (the checkpoint's own)")
      ->check(number(1, 64))
      ->type_name("N");
  // A flag that is bound to an optional bool is false, not absent, where it is not given.
  command->add_flag_function(
      "--rules-in-graph,!--no-rules-in-graph",
      [&options](int64_t count) { options.rules_in_graph = count > 0; },
      "The decoder applies repetition penalty, no-repeat n-grams and bad words to its own "
      "logits, for clients that apply no rules (as the bundle does by itself)");
  command->add_flag("--trainer-names",
                    options.trainer_names,
                    "components: inputs and outputs of the trainer's own export");
  command->add_flag("--uint8-input",
                    options.uint8_input,
                    "single: takes raw RGB bytes of any size, preprocessing inside the graph");
  command->add_flag("--step",
                    options.step,
                    "single: pixel_values, input_ids -> logits in place of the whole loop");
  command
      ->add_option("--model-id",
                   options.model_id,
                   "firefox: the model's name on the hub; OUT/ORG/NAME/REVISION is written")
      ->type_name("ORG/NAME");
  command
      ->add_option(
          "--revision", options.revision, "firefox: main, or a version such as v1.0.0 (main)")
      ->type_name("NAME");
  command->add_flag("--external-data",
                    options.external_data,
                    "Weights in files beside the graphs (always so above 2 GB)");
  add_scheme(*command, arguments->scheme);
  add_engine(*command, options.engine);
  add_threads(*command, options.threads, "Threads for writing (one per core, at most 4)");
  command->add_flag(
      "--force", options.force, "Replace OUT where it is a folder that LoraPress wrote");
  command->add_flag("--json", arguments->json, "Report as one JSON document");
  command->callback([arguments, action, &run] {
    run = [arguments, action] {
      arguments->options.source = to_source(arguments->source);
      arguments->options.out = arguments->out;
      arguments->options.scheme = to_scheme(arguments->scheme);
      arguments->options.calibrate = arguments->scheme.calibrate;
      arguments->options.ops =
          arguments->ops == "standard" ? OpDialect::kStandard : OpDialect::kOrt;
      arguments->options.progress = progress_bar();
      PressReport report = action(arguments->options);
      add_scheme_notes(arguments->scheme, report.notes);
      clear_progress();
      if (arguments->json) {
        print_report_json(to_json(report));
      } else {
        print(report, report.folder.string());
      }
      return 0;
    };
  });
}

}  // namespace

void add_press(CLI::App& app, Run& run) {
  add(app,
      run,
      "press",
      "Make a checkpoint into a folder that a browser runs, check it and caption one image with it",
      press);
}

void add_export(CLI::App& app, Run& run) {
  add(app, run, "export", "As press, without running the result", export_bundle);
}

}  // namespace lorapress::cli
