#include "lorapress/verify.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <memory>

#include "lorapress/report_json.h"
#include "lorapress/trace.h"

#include "command.h"
#include "messages.h"
#include "terminal.h"
#include "trace_report.h"

namespace lorapress::cli {
namespace {

constexpr int kDiffers = 1;

struct VerifyArguments {
  SourceArguments source;
  std::string model;
  std::string images;
  std::string references;
  std::string prompts;
  std::string html;
  std::string trace;
  std::string against;
  double min_match = 0.0;
  VerifyOptions options;
  bool json = false;
};

// Rounded down, so that 100 % means all.
std::string percent(const LogitDistance& distance) {
  return distance.matched == distance.tokens
             ? "100 %"
             : fmt::format("{:.2f} %", std::floor(distance.match() * 10000.0) / 100.0);
}

void print_images(const VerifyReport& report, const DtypeParity& dtype) {
  constexpr size_t kMost = 24;
  const bool all = dtype.images.size() <= kMost;
  fmt::print("\n{}, image by image{}:\n", one_line(dtype.name), all ? "" : " (those that differ)");
  size_t shown = 0;
  for (const ImageParity& parity : dtype.images) {
    const bool equal = parity.caption_equal && parity.forced.matched == parity.forced.tokens;
    if ((all || !equal) && shown++ < kMost) {
      fmt::print("  {:<32.32} {:>4} of {:<4} tokens  KL {:>8.1e}  caption {}\n",
                 one_line(report.images[parity.image].name),
                 parity.forced.matched,
                 parity.forced.tokens,
                 parity.forced.kl_mean,
                 parity.caption_equal ? "equal" : "differs: " + one_line(parity.text));
    }
  }
  if (shown > kMost) {
    fmt::print("  and {} more\n", shown - kMost);
  }
}

void print_quality(const std::string& name, const CaptionQuality& quality, bool compared) {
  const auto& [metrics, to] = quality;
  fmt::print("{:<10} {:>16.3f} {:>16.3f} {:>16.3f} {:>16.3f} {:>16.2f}\n",
             name,
             metrics.cider,
             metrics.bleu[3],
             metrics.rouge_l,
             metrics.meteor,
             metrics.words);
  if (compared) {
    const auto interval = [](const MetricDifference& difference) {
      return fmt::format("[{:+.3f}, {:+.3f}]", difference.low, difference.high);
    };
    fmt::print("{:<10} {:>16} {:>16} {:>16} {:>16} {:>16}\n",
               "",
               interval(to.cider),
               interval(to.bleu_4),
               interval(to.rouge_l),
               interval(to.meteor),
               interval(to.words));
  }
}

void print_qualities(const VerifyReport& report) {
  if (!report.quality) {
    return;
  }
  fmt::print(
      "\ncaptions of {} images against references (METEOR: exact and stem); below each dtype the 95 % interval of its\n"
      "difference to the reference forward:\n{:<10} {:>16} {:>16} {:>16} {:>16} {:>16}\n",
      report.scored_images,
      "",
      "CIDEr-D",
      "BLEU-4",
      "ROUGE-L",
      "METEOR",
      "words");
  print_quality("reference", *report.quality, false);
  for (const DtypeParity& dtype : report.dtypes) {
    if (dtype.quality) {
      print_quality(one_line(dtype.name), *dtype.quality, true);
    }
  }
}

void print(const VerifyReport& report, const VerifyArguments& arguments) {
  fmt::print("{:<12} {:>10} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9}  \n",
             "dtype",
             "size",
             "tokens",
             "captions",
             "KL mean",
             "KL max",
             "logits",
             "images");
  for (const DtypeParity& dtype : report.dtypes) {
    fmt::print("{:<12} {:>10} {:>10} {:>10} {:>9.1e} {:>9.1e} {:>9.1e} {:>9.1e}  {}\n",
               one_line(dtype.name),
               human_bytes(dtype.bytes),
               percent(dtype.forced),
               fmt::format("{}/{}", dtype.captions_equal, dtype.images.size()),
               dtype.forced.kl_mean,
               dtype.forced.kl_max,
               dtype.forced.largest_difference,
               dtype.prefix_error,
               dtype.passed ? "pass" : "FAIL");
  }
  for (const DtypeParity& dtype : report.dtypes) {
    print_images(report, dtype);
  }
  print_qualities(report);
  double seconds = 0.0;
  for (const DtypeParity& dtype : report.dtypes) {
    seconds += dtype.seconds;
  }
  fmt::print("\nreference {}, files {}; peak memory {}\n",
             human_seconds(report.reference_seconds),
             human_seconds(seconds),
             human_bytes(peak_memory_bytes()));
  print_notes(report.notes);
  for (const VerifyImage& image : report.images) {
    if (!image.error.empty()) {
      fmt::print("not read: {}\n", one_line(image.error));
    }
  }
  for (const std::string& fault : report.faults) {
    fmt::print("wrong: {}\n", one_line(fault));
  }
  for (const DtypeParity& dtype : report.dtypes) {
    for (const std::string& fault : dtype.faults) {
      fmt::print("wrong: {}: {}\n", one_line(dtype.name), one_line(fault));
    }
  }
  if (!arguments.trace.empty()) {
    fmt::print("trace: {}\n", printable(arguments.trace));
  }
  if (!arguments.html.empty()) {
    fmt::print("page: {}\n", printable(arguments.html));
  }
  fmt::print("{}\n", report.passed ? "verified" : "not verified");
}

// Of the two positional arguments only one is there: the folder.
int run_against(const VerifyArguments& arguments) {
  if (!arguments.model.empty() || !arguments.trace.empty() || !arguments.html.empty() ||
      !arguments.references.empty() || !arguments.images.empty() || !arguments.prompts.empty()) {
    throw Error(ErrorCode::kInvalidArgument,
                "--against takes the folder alone: verify --against FILE MODEL_DIR [--dtype LIST]");
  }
  const TraceReport report = check_trace({arguments.against,
                                          arguments.source.checkpoint,
                                          arguments.options.dtypes,
                                          arguments.options.threads,
                                          arguments.options.engine});
  print_trace_report(report, arguments.json);
  return report.passed ? 0 : kDiffers;
}

int run_verify(VerifyArguments& arguments) {
  if (!arguments.against.empty()) {
    return run_against(arguments);
  }
  if (arguments.model.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "MODEL_DIR is required; see lorapress verify --help");
  }
  VerifyOptions& options = arguments.options;
  options.source = to_source(arguments.source);
  options.model = arguments.model;
  options.images = arguments.images;
  options.references = arguments.references;
  options.prompts = arguments.prompts;
  options.html = arguments.html;
  options.trace = arguments.trace;
  options.layers = arguments.json || !arguments.html.empty();
  options.progress = progress_bar();
  const VerifyReport report = verify(options);
  clear_progress();
  if (arguments.json) {
    print_report_json(to_json(report));
  } else {
    print(report, arguments);
  }
  return report.passed ? 0 : kDiffers;
}

}  // namespace

void add_verify(CLI::App& app, Run& run) {
  auto arguments = std::make_shared<VerifyArguments>();
  VerifyOptions& options = arguments->options;
  CLI::App* command = app.add_subcommand(
      "verify",
      "Compare every ONNX file of a folder with an independent forward of its checkpoint");
  add_source(*command, arguments->source);
  command->add_option("MODEL_DIR", arguments->model, "Folder that press wrote from that checkpoint")
      ->type_name("DIR");
  command
      ->add_option("--images",
                   arguments->images,
                   "Folder of JPEG, PNG, WebP, GIF, BMP or TIFF files (drawn pictures)")
      ->type_name("DIR");
  command
      ->add_option("--prompts",
                   arguments->prompts,
                   "Of a decoder alone: a text file with a prompt on each line (a few built in)")
      ->type_name("FILE");
  command
      ->add_option(
          "--references",
          arguments->references,
          "Captions of these images: JSON lines, COCO, Karpathy's JSON, CSV; adds CIDEr-D, BLEU-4, ROUGE-L, METEOR")
      ->type_name("FILE");
  command->add_option("--split", options.split, "Split of Karpathy's file, as test (all)")
      ->type_name("NAME");
  command->add_option("--dtype", options.dtypes, "Dtypes, separated by commas (all of the folder)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST");
  command
      ->add_option("--max-new-tokens",
                   options.max_new_tokens,
                   "Stop captions after this many (the folder's own setting)")
      ->check(number(1, 1 << 20))
      ->type_name("N");
  const CLI::Option* min_match =
      command
          ->add_option("--min-match",
                       arguments->min_match,
                       "Least share of forced tokens that are the reference's, 0 to 1 (1 for fp32 "
                       "and fp16, 0 for the others); below it the exit code is 1")
          ->check(CLI::Range(0.0, 1.0).description(""))
          ->type_name("F");
  command->add_option("--html", arguments->html, "Write a page with images, captions and plots")
      ->type_name("FILE");
  command
      ->add_option(
          "--trace", arguments->trace, "Write the fidelity trace that Firefox's tests read")
      ->type_name("FILE");
  command
      ->add_option("--trace-model-id",
                   options.trace_model_id,
                   "Model that the trace names (local/ and the folder)")
      ->type_name("ORG/NAME");
  command->add_option("--trace-revision", options.trace_revision, "Its revision (main)")
      ->type_name("NAME");
  command
      ->add_option(
          "--against",
          arguments->against,
          "Check MODEL_DIR, the only other argument, against such a trace, without the checkpoint")
      ->type_name("FILE");
  add_engine(*command, options.engine, {"native", "ort", "auto", "both"});
  command->add_flag("--force", options.force, "Replace the page of --html and the trace");
  add_threads(*command, options.threads, "Threads (one per core, at most 4 for the reference)");
  command->add_flag("--json", arguments->json, "Report as one JSON document");
  command->callback([arguments, min_match, &run] {
    run = [arguments, min_match] {
      if (min_match->count() > 0) {
        arguments->options.min_match = arguments->min_match;
      }
      return run_verify(*arguments);
    };
  });
}

}  // namespace lorapress::cli
