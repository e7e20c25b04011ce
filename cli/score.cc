#include "lorapress/score.h"

#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "lorapress/report_json.h"

#include "command.h"
#include "messages.h"
#include "terminal.h"

namespace lorapress::cli {
namespace {

struct ScoreArguments {
  std::string candidates;
  std::string references;
  ScoreOptions options;
  bool json = false;
};

nlohmann::json to_json(const ScoreReport& report) {
  nlohmann::json json = {{"metrics", nlohmann::json::parse(to_json(report.metrics))},
                         {"reference_words", report.reference_words},
                         {"images", report.captions.size()},
                         {"notes", with_flags(report.notes)},
                         {"captions", nlohmann::json::array()}};
  for (const ScoredCaption& caption : report.captions) {
    json["captions"].push_back({{"image", caption.texts.image},
                                {"text", caption.texts.caption},
                                {"references", caption.texts.references},
                                {"metrics", nlohmann::json::parse(to_json(caption.metrics))}});
  }
  return json;
}

int run_score(ScoreArguments& arguments) {
  arguments.options.candidates = arguments.candidates;
  arguments.options.references = arguments.references;
  const ScoreReport report = score(arguments.options);
  if (arguments.json) {
    print_json(to_json(report));
    return 0;
  }
  const CaptionMetrics& metrics = report.metrics;
  fmt::print(
      "CIDEr-D  {:.4f}\nBLEU-4   {:.4f}\nROUGE-L  {:.4f}\nMETEOR   {:.4f}  exact and stem\nwords    {:.2f}  references {:.2f}\n",
      metrics.cider,
      metrics.bleu[3],
      metrics.rouge_l,
      metrics.meteor,
      metrics.words,
      report.reference_words);
  fmt::print("images   {}\n", report.captions.size());
  print_notes(report.notes);
  return 0;
}

}  // namespace

void add_score(CLI::App& app, Run& run) {
  auto arguments = std::make_shared<ScoreArguments>();
  CLI::App* command = app.add_subcommand(
      "score", "Measure captions against references: CIDEr-D, BLEU-4, ROUGE-L, METEOR");
  command
      ->add_option("CANDIDATES",
                   arguments->candidates,
                   "One caption an image: what caption --jsonl or --json writes, COCO results, CSV")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("REFERENCES",
                   arguments->references,
                   "One or more an image: JSON lines, COCO annotations, Karpathy's JSON, CSV")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--split", arguments->options.split, "Split of Karpathy's file, as test (all)")
      ->type_name("NAME");
  command->add_flag("--json", arguments->json, "Report as one JSON document");
  command->callback([arguments, &run] { run = [arguments] { return run_score(*arguments); }; });
}

}  // namespace lorapress::cli
