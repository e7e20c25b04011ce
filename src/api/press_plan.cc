#include "api/press_plan.h"

#include <set>

#include "base/fail.h"
#include "base/file.h"
#include "base/threads.h"
#include "calibration/calibrate.h"
#include "checkpoint/generation_keys.h"
#include "checkpoint/generation_settings.h"
#include "graph/check.h"
#include "runtime/generation/bad_words.h"
#include "runtime/generation/tokenizer.h"
#include "schemes/scheme.h"

namespace lorapress {
namespace {

constexpr int64_t kMostBeams = 64;

GenerationChoice generation_choice(const PressOptions& options) {
  return {options.num_beams.value_or(1), options.uint8_input, options.step};
}

void check_generation_choice(const PressOptions& options) {
  const GenerationChoice choice = generation_choice(options);
  const bool generates = !options.bundle.empty() && bundle(options.bundle).generates;
  if ((options.num_beams || !choice.is_default()) && !generates) {
    fail(
        ErrorCode::kInvalidArgument,
        "options.num_beams, options.uint8_input and options.step apply to bundle \"single\" only; the "
        "bundle is \"{}\"",
        options.bundle.empty() ? "the checkpoint's own" : options.bundle);
  }
  if (choice.num_beams < 1 || choice.num_beams > kMostBeams) {
    fail(ErrorCode::kInvalidArgument,
         "options.num_beams {}, expected 1 to {}",
         choice.num_beams,
         kMostBeams);
  }
  if (choice.step && choice.num_beams > 1) {
    fail(ErrorCode::kInvalidArgument,
         "options.step gives the logits of one token, options.num_beams {} needs the whole loop; "
         "drop one of them",
         choice.num_beams);
  }
}

FolderRules folder_rules(const PressOptions& options) {
  return options.bundle.empty() ? FolderRules{} : bundle(options.bundle).folder;
}

HubPlace hub_place(const PressOptions& options) {
  return {options.model_id, options.revision.empty() ? "main" : options.revision};
}

void check_hub_options(const PressOptions& options) {
  if (folder_rules(options).on_hub) {
    check_hub_place(hub_place(options));
    if (options.external_data) {
      fail(ErrorCode::kInvalidArgument,
           "options.external_data: bundle \"{}\" has each graph in one file; leave it out",
           options.bundle);
    }
  } else if (!options.model_id.empty() || !options.revision.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "options.model_id and options.revision apply to bundle \"firefox\" only; the bundle is "
         "\"{}\"",
         options.bundle.empty() ? "the checkpoint's own" : options.bundle);
  }
}

std::vector<std::string> chosen_dtypes(const PressOptions& options) {
  const FolderRules rules = folder_rules(options);
  std::vector<std::string> dtypes = options.dtypes;
  if (dtypes.empty() || (rules.on_hub && std::ranges::find(dtypes, rules.dtype) == dtypes.end())) {
    dtypes.emplace_back(rules.dtype);
  }
  return dtypes;
}

void check_options(const PressOptions& options, const std::vector<std::string>& dtypes) {
  std::set<std::string> given;
  for (const std::string& dtype : dtypes) {
    scheme(dtype);
    if (!given.insert(dtype).second) {
      fail(ErrorCode::kInvalidArgument, "options.dtype names {} twice", dtype);
    }
  }
  check_scheme_options(options.scheme);
  check_calibration(options.calibrate, options.scheme, dtypes);
  if (options.max_new_tokens < 0 || options.max_new_tokens > 1 << 20) {
    fail(ErrorCode::kInvalidArgument,
         "options.max_new_tokens {}, expected 1 to {}",
         options.max_new_tokens,
         1 << 20);
  }
  check_generation_choice(options);
  check_hub_options(options);
}

uint64_t count_parameters(const Checkpoint& checkpoint) {
  uint64_t count = 0;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    count += tensor.weight->bytes() / dtype_size(tensor.weight->dtype());
  }
  return count;
}

Checkpoint open(const PressOptions& options, const std::vector<std::string>& dtypes) {
  check_options(options, dtypes);
  return open_checkpoint(options.source);
}

}  // namespace

PressPlan::PressPlan(const PressOptions& options, PressReport& report)
    : options_(options),
      dtypes_(chosen_dtypes(options)),
      checkpoint_(open(options, dtypes_)),
      bundle_(bundle_for(options.bundle, checkpoint_)) {
  report.bundle = bundle_.name;
  report.folder = folder();
  report.notes = checkpoint_.notes;
  report.takes_images = checkpoint_.vision.has_value();
  if (checkpoint_.vision) {
    preprocessing_ = find_preprocessing(checkpoint_, report.notes);
  }
  find_settings(report.notes);
  note_prompts(report.notes);
  std::ranges::copy(tokenizer_.generation.notes, std::back_inserter(report.notes));
  if (options.max_new_tokens != 0) {
    tokenizer_.generation.settings.max_length.reset();
  }
  if (bundle_.folder.on_hub) {
    keep_to_hub(report.notes);
  }
  check_bundle_options();
  check_model();
  start_tokenizer_check();
  report.parameters = count_parameters(checkpoint_);
  for (auto& [name, tensor] : checkpoint_.tensors) {
    report.adapted_tensors += tensor.adapted ? 1 : 0;
    if (dtypes_.size() > 1) {
      tensor.weight = shared_.share(std::move(tensor.weight));
    }
  }
}

void PressPlan::author(std::vector<std::string>& notes) {
  std::vector<BundleGraph> authored = bundle_.graphs(request(), notes);
  const size_t count = authored.size();
  for (BundleGraph& graph : authored) {
    if (options_.progress) {
      options_.progress({"check", graphs_.size(), count});
    }
    Model model = to_model(graph.graph);
    SourceOrder order(model);
    lorapress::check_model(model);
    graphs_.push_back({std::move(graph), std::move(model), std::move(order)});
  }
}

HubPlace PressPlan::place() const {
  return hub_place(options_);
}

std::filesystem::path PressPlan::folder() const {
  return bundle_.folder.on_hub ? hub_folder(options_.out, place()) : options_.out;
}

// Leaves out what the hub's file-name rule refuses, and says which dtype is added.
void PressPlan::keep_to_hub(std::vector<std::string>& notes) {
  if (std::ranges::find(options_.dtypes, bundle_.folder.dtype) == options_.dtypes.end() &&
      !options_.dtypes.empty()) {
    notes.push_back(
        fmt::format("{} is written, too: clients of this hub ask for it", bundle_.folder.dtype));
  }
  std::erase_if(tokenizer_.files, [&](const auto& file) {
    if (hub_takes_file(file.first)) {
      return false;
    }
    notes.push_back(fmt::format("{} is left out: Firefox refuses its name", file.first));
    return true;
  });
}

// The tokenizer and the settings of the checkpoint, and those that the options have in their place.
void PressPlan::find_settings(std::vector<std::string>& notes) {
  Json overrides = parse_generation_entries(options_.set, "options.set");
  if (options_.max_new_tokens != 0 &&
      (overrides.contains("max_new_tokens") || overrides.contains("max_length"))) {
    fail(ErrorCode::kInvalidArgument,
         "options.max_new_tokens and options.set both give a length; drop one of them");
  }
  tokenizer_ = find_tokenizer(checkpoint_, overrides);
  if (options_.bad_words.empty()) {
    return;
  }
  const std::string where = options_.bad_words.string();
  const BadWords bad =
      tokenized_bad_words(read_text(options_.bad_words),
                          Tokenizer::from_json(tokenizer_.files.at("tokenizer.json"),
                                               (tokenizer_.folder / "tokenizer.json").string()),
                          checkpoint_.text->vocab_size,
                          where);
  auto& words = tokenizer_.generation.settings.bad_words_ids;
  words = words.value_or(std::vector<std::vector<int64_t>>());
  const size_t before = words->size();
  std::ranges::copy_if(bad.ids, std::back_inserter(*words), [&](const std::vector<int64_t>& word) {
    return std::ranges::find(*words, word) == words->end();
  });
  overrides["bad_words_ids"] = *words;
  (void)parse_generation_settings(overrides, checkpoint_.text->vocab_size, where);  // not too many
  tokenizer_.generation.overrides = overrides;
  notes.push_back(fmt::format(
      "{}: {} words are {} sequences of tokens, added to {} of the checkpoint's "
      "bad_words_ids{}",
      where,
      bad.words,
      words->size() - before,
      before,
      bad.without_tokens == 0 ? "" : fmt::format("; {} words have no token", bad.without_tokens)));
}

void PressPlan::check_bundle_options() const {
  const bool rules =
      options_.rules_in_graph.value_or(false) && bundle_.rules_in_graph == RulesInGraph::kNever;
  if (rules || (options_.trainer_names && !bundle_.trainer_names)) {
    fail(ErrorCode::kUnsupported,
         "{}: options.{} is not supported by bundle \"{}\"; leave it out",
         checkpoint_.folder.string(),
         rules ? "rules_in_graph" : "trainer_names",
         bundle_.name);
  }
  const int64_t beams = tokenizer_.generation.settings.num_beams.value_or(1);
  if (request().rules_in_graph && beams > 1) {
    fail(ErrorCode::kUnsupported,
         "{}: options.rules_in_graph and num_beams {}: beams need scores without the rules; pass "
         "options.set num_beams=1, or leave the rules out of the graph",
         checkpoint_.folder.string(),
         beams);
  }
}

// Calibration runs the two graphs of a model that sees its image as positions before the text, over
// images.
void PressPlan::check_model() const {
  const std::string folder = checkpoint_.folder.string();
  if (!options_.calibrate.empty() && !accepts_prefix(checkpoint_)) {
    fail(ErrorCode::kUnsupported,
         "{}: options.calibrate does not take a {} model yet; leave it out",
         folder,
         checkpoint_.composite == nullptr ? "text-only" : checkpoint_.composite->model_type);
  }
  const int64_t before = checkpoint_.positions_before();
  const int64_t most = request().max_new_tokens;
  const int64_t positions = checkpoint_.text->max_position_embeddings;
  if (before + most > positions) {
    fail(ErrorCode::kInvalidArgument,
         "{}: {} {} and {} new tokens do not fit the decoder's {} positions; pass a lower "
         "options.max_new_tokens",
         folder,
         before,
         has_cross_attention(checkpoint_) ? "start token" : "image tokens",
         most,
         positions);
  }
}

// What a model whose prompt holds its images lacks: a template, or positions for all tiles of a large image.
void PressPlan::note_prompts(std::vector<std::string>& notes) const {
  if (checkpoint_.composite == nullptr ||
      checkpoint_.composite->conditioning != Conditioning::kPlaceholder) {
    return;
  }
  const std::string folder = tokenizer_.folder.string();
  if (!tokenizer_.files.contains(kChatTemplate)) {
    notes.push_back(fmt::format(
        "{}: no chat template here or in a base; prompts are taken as they are", folder));
  }
  if (!preprocessing_.splitting || !preprocessing_.splitting->enabled) {
    return;
  }
  const int64_t tile = preprocessing_.height;
  const int64_t side = (preprocessing_.splitting->longest_edge + tile - 1) / tile;
  const int64_t needed = (side * side + 1) * checkpoint_.positions_before();
  const int64_t positions = checkpoint_.text->max_position_embeddings;
  if (needed > positions) {
    notes.push_back(
        fmt::format("{}: {} tiles of an image take {} of the decoder's {} positions; images "
                    "that do not fit are refused, a lower size.longest_edge cuts fewer tiles",
                    checkpoint_.folder.string(),
                    side * side + 1,
                    needed,
                    positions));
  }
}

// Finds faults of the tokenizer before anything is written. Parsing takes as long as everything else
// that precedes the first write.
void PressPlan::start_tokenizer_check() {
  const std::string& json = tokenizer_.files.at("tokenizer.json");
  tokenizer_check_ = run_async([json, path = tokenizer_.folder / "tokenizer.json"] {
    Tokenizer::from_json(json, path.string());
  });
}

BundleRequest PressPlan::request() const {
  const int64_t most =
      options_.max_new_tokens != 0 ? options_.max_new_tokens : tokenizer_.generation.max_new_tokens;
  GenerationChoice generation = generation_choice(options_);
  if (!options_.num_beams && bundle_.generates && !options_.step) {
    generation.num_beams = tokenizer_.generation.settings.num_beams.value_or(1);
  }
  const bool by_default = bundle_.rules_in_graph == RulesInGraph::kByDefault &&
                          tokenizer_.generation.settings.num_beams.value_or(1) == 1;
  std::vector<std::string> half_caches;
  std::ranges::copy_if(dtypes_, std::back_inserter(half_caches), [](const auto& dtype) {
    return scheme(dtype).half_cache;
  });
  return {checkpoint_,
          preprocessing_,
          tokenizer_,
          options_.ops,
          options_.opset,
          most,
          dtypes_[0],
          generation,
          half_caches,
          options_.prompt,
          options_.rules_in_graph.value_or(by_default),
          options_.trainer_names};
}

}  // namespace lorapress
