#include "lorapress/press.h"

#include <ranges>
#include <set>

#include "api/folder_files.h"
#include "api/trial_run.h"
#include "base/fail.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/stopwatch.h"
#include "base/threads.h"
#include "bundles/manifest.h"
#include "calibration/calibrate.h"
#include "graph/check.h"
#include "graph/source_order.h"
#include "graph/write.h"
#include "quant/weight_scan.h"
#include "runtime/generation/tokenizer.h"
#include "schemes/scheme.h"
#include "weights/shared.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

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

void check_options(const PressOptions& options) {
  if (options.dtypes.empty()) {
    fail(ErrorCode::kInvalidArgument, "no dtype given, expected fp32 or others");
  }
  std::set<std::string> given;
  for (const std::string& dtype : options.dtypes) {
    scheme(dtype);
    if (!given.insert(dtype).second) {
      fail(ErrorCode::kInvalidArgument, "options.dtype names {} twice", dtype);
    }
  }
  check_scheme_options(options.scheme);
  check_calibration(options.calibrate, options.scheme, options.dtypes);
  if (options.max_new_tokens < 0 || options.max_new_tokens > 1 << 20) {
    fail(ErrorCode::kInvalidArgument,
         "options.max_new_tokens {}, expected 1 to {}",
         options.max_new_tokens,
         1 << 20);
  }
  check_generation_choice(options);
}

uint64_t count_parameters(const Checkpoint& checkpoint) {
  uint64_t count = 0;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    count += tensor.weight->bytes() / dtype_size(tensor.weight->dtype());
  }
  return count;
}

ManifestFile describe_text(const std::string& name, const std::string& content) {
  ManifestFile file{name, content.size(), {}};
  const auto bytes = std::as_bytes(std::span(content));
  for (size_t at = 0; at < bytes.size(); at += kChunkBytes) {
    file.sha256.push_back(
        sha256_hex(bytes.subspan(at, std::min<size_t>(kChunkBytes, bytes.size() - at))));
  }
  return file;
}

// Everything about a press but the final run.
class Presser {
 public:
  explicit Presser(const PressOptions& options)
      : options_(options),
        checkpoint_(open(options)),
        bundle_(bundle_for(options.bundle, checkpoint_)) {
    report_.bundle = bundle_.name;
    report_.notes = checkpoint_.notes;
    preprocessing_ = find_preprocessing(checkpoint_, report_.notes);
    tokenizer_ = find_tokenizer(checkpoint_);
    std::ranges::copy(tokenizer_.generation.notes, std::back_inserter(report_.notes));
    if (options.max_new_tokens != 0) {
      tokenizer_.generation.settings.max_length.reset();
    }
    check_positions();
    check_calibrated_model();
    check_tokenizer();
    report_.parameters = count_parameters(checkpoint_);
    for (auto& [name, tensor] : checkpoint_.tensors) {
      report_.adapted_tensors += tensor.adapted ? 1 : 0;
      if (options.dtypes.size() > 1) {
        tensor.weight = shared_.share(std::move(tensor.weight));
      }
    }
    report_.read_seconds = watch_.lap();
  }

  void author() {
    graphs_ = bundle_.graphs(request(), report_.notes);
    for (size_t i = 0; i < graphs_.size(); ++i) {
      tell("check", i, graphs_.size());
      models_.push_back(to_model(graphs_[i].graph));
      orders_.emplace_back(models_.back());
      check_model(models_.back());
    }
    report_.author_seconds = watch_.lap();
  }

  void write(const fs::path& folder) {
    std::vector<FilePlan> plans;
    std::map<std::string, int> data_files;
    Json graphs = Json::object();
    Json graph_files = Json::object();
    if (!options_.calibrate.empty()) {
      tokenizer_check_.get();
      statistics_ = measure_activations(folder);
    }
    for (const std::string& dtype : options_.dtypes) {
      const std::string suffix = std::string(scheme(dtype).suffix) + ".onnx";
      std::map<std::string, SharedData> shared;  // by BundleGraph::data
      for (size_t i = 0; i < graphs_.size(); ++i) {
        const BundleGraph& graph = graphs_[i];
        const std::string name = graph.path + suffix;
        fs::create_directories((folder / name).parent_path());
        graphs[dtype][graph.role] = name;
        const Model model = model_in(dtype, i);
        GraphFile facts = graph_facts(model.proto.graph());
        std::set<fs::path> data;
        if (!graph.data.empty()) {
          const auto files =
              shared.try_emplace(graph.data, folder / (graph.data + suffix + "_data"));
          plans.push_back(files.first->second.plan_graph(model, folder / name));
          data = files.first->second.take_used();
        } else {
          std::vector<FilePlan> parts = plan_onnx(model, folder / name, options_.external_data);
          for (const FilePlan& part : parts | std::views::drop(1)) {
            data.insert(part.path());
          }
          data_files[fs::path(name).filename().string()] = static_cast<int>(data.size());
          std::ranges::move(parts, std::back_inserter(plans));
        }
        for (const fs::path& file : data) {
          facts.external_data.push_back(file.lexically_relative(folder).generic_string());
        }
        graph_files[name] = graph_file_json(facts);
      }
      for (auto& [name, data] : shared) {
        std::ranges::move(data.take(), std::back_inserter(plans));
      }
    }
    TextFiles texts = tokenizer_.files;
    for (const auto& [name, json] : bundle_.files(request(), data_files)) {
      texts[name] = json.dump(2) + "\n";
    }
    tokenizer_check_.get();
    write_text_files(folder, texts);
    const std::vector<WrittenFile> written = write_files(
        plans, {.hash = true, .threads = options_.threads, .progress = options_.progress});
    Json manifest = manifest_json(request(), std::string(bundle_.name), options_.dtypes);
    manifest["graphs"] = graphs;
    manifest["graph_files"] = graph_files;
    write_manifest(folder, texts, written, std::move(manifest));
    shared_.clear();
    report_.files = list_files(folder);
    report_.write_seconds = watch_.lap();
  }

  PressReport take_report() { return std::move(report_); }

  [[nodiscard]] const std::vector<fs::path>& sources() const { return checkpoint_.folders; }
  void tell(std::string_view phase, uint64_t done, uint64_t total) const {
    if (options_.progress) {
      options_.progress({phase, done, total});
    }
  }

 private:
  static Checkpoint open(const PressOptions& options) {
    check_options(options);
    return open_checkpoint(options.source);
  }

  // Graph i in a dtype; its weights are still lazy.
  Model model_in(const std::string& dtype, size_t i) {
    Model model = models_[i];
    scheme(dtype).apply(model,
                        {options_.scheme,
                         options_.calibrate.empty() ? nullptr : &statistics_,
                         &report_.notes,
                         options_.threads,
                         nullptr,
                         &scans_});
    orders_[i].apply(model);
    return model;
  }

  // Weights have the same names in every bundle, so the plain one serves all.
  ActivationStats measure_activations(const fs::path& scratch) {
    std::vector<std::string> ignored;
    const std::vector<BundleGraph> plain =
        lorapress::bundle("transformers.js").graphs(request(), ignored);
    const Model encoder = to_model(plain.at(0).graph);
    const Model decoder = to_model(plain.at(1).graph);
    const SpecialTokens& tokens = tokenizer_.tokens;
    CalibrationReport done;
    ActivationStats stats =
        calibrate({encoder,
                   decoder,
                   preprocessing_,
                   tokens.decoder_start_token_id,
                   tokens.eos_token_ids,
                   request().max_new_tokens},
                  {options_.calibrate, scratch, options_.threads, options_.progress},
                  done);
    std::ranges::move(done.notes, std::back_inserter(report_.notes));
    return stats;
  }

  // Finds faults of the tokenizer before anything is written. Runs on its own thread: parsing takes
  // as long as everything else that precedes the first write.
  void check_tokenizer() {
    const std::string& json = tokenizer_.files.at("tokenizer.json");
    tokenizer_check_ = run_async([json, path = tokenizer_.folder / "tokenizer.json"] {
      Tokenizer::from_json(json, path.string());
    });
  }

  // Calibration runs the two graphs of a model that sees its image as positions before the text.
  void check_calibrated_model() const {
    if (!options_.calibrate.empty() && !accepts_prefix(checkpoint_)) {
      fail(ErrorCode::kUnsupported,
           "{}: options.calibrate does not take a {} model yet; leave it out",
           checkpoint_.folder.string(),
           checkpoint_.composite->model_type);
    }
  }

  void check_positions() const {
    const int64_t images = checkpoint_.image_positions();
    const int64_t most = request().max_new_tokens;
    const int64_t positions = checkpoint_.text->max_position_embeddings;
    if (images + most > positions) {
      fail(ErrorCode::kInvalidArgument,
           "{}: {} image tokens and {} new tokens do not fit the decoder's {} positions; pass a "
           "lower options.max_new_tokens",
           checkpoint_.folder.string(),
           images,
           most,
           positions);
    }
  }

  [[nodiscard]] BundleRequest request() const {
    const int64_t most = options_.max_new_tokens != 0 ? options_.max_new_tokens
                                                      : tokenizer_.generation.max_new_tokens;
    GenerationChoice generation = generation_choice(options_);
    if (!options_.num_beams && bundle_.generates && !options_.step) {
      generation.num_beams = tokenizer_.generation.settings.num_beams.value_or(1);
    }
    std::vector<std::string> half_caches;
    std::ranges::copy_if(options_.dtypes, std::back_inserter(half_caches), [](const auto& dtype) {
      return scheme(dtype).half_cache;
    });
    return {checkpoint_,
            preprocessing_,
            tokenizer_,
            options_.ops,
            options_.opset,
            most,
            options_.dtypes[0],
            generation,
            half_caches,
            options_.prompt};
  }

  void write_manifest(const fs::path& folder,
                      const TextFiles& texts,
                      const std::vector<WrittenFile>& written,
                      Json manifest) const {
    manifest["files"] = Json::array();
    for (const auto& [name, content] : texts) {
      manifest["files"].push_back(manifest_file_json(describe_text(name, content)));
    }
    for (const WrittenFile& file : written) {
      manifest["files"].push_back(manifest_file_json(
          {file.path.lexically_relative(folder).generic_string(), file.bytes, file.chunk_sha256}));
    }
    write_text(folder / kManifestName, manifest.dump(2) + "\n");
  }

  Stopwatch watch_;
  PressReport report_;
  const PressOptions& options_;
  Checkpoint checkpoint_;
  const Bundle& bundle_;
  SharedReads shared_;  // by the files of all dtypes
  Preprocessing preprocessing_;
  TokenizerFiles tokenizer_;
  std::shared_future<void> tokenizer_check_;
  std::vector<BundleGraph> graphs_;
  std::vector<Model> models_;        // one for each of graphs_, in the same order
  std::vector<SourceOrder> orders_;  // as models_
  ScanMemo scans_;
  ActivationStats statistics_;
};

void try_once(const Presser& presser, const fs::path& folder, PressReport& report) {
  Stopwatch watch;
  presser.tell("caption", 0, 1);
  report.caption = trial_run(folder);
  presser.tell("caption", 1, 1);  // the last chance to cancel
  report.caption_seconds = watch.lap();
}

PressReport run(const PressOptions& options, bool verify) {
  Presser presser(options);
  protect_sources(options.out, presser.sources());
  StagedOutput staged(options.out, options.force, kOwnFolders);
  PressReport report = staged.fill([&](const fs::path& folder) {
    presser.author();
    presser.write(folder);
    PressReport made = presser.take_report();
    if (verify) {
      try_once(presser, folder, made);
    }
    return made;
  });
  std::ranges::copy(staged.notes(), std::back_inserter(report.notes));
  return report;
}

}  // namespace

PressReport press(const PressOptions& options) {
  return with_file_errors([&] { return run(options, true); });
}

PressReport export_bundle(const PressOptions& options) {
  return with_file_errors([&] { return run(options, false); });
}

std::vector<BundleInfo> known_bundles() {
  std::vector<BundleInfo> known;
  for (const Bundle* row : bundles()) {
    known.push_back({std::string(row->name), std::string(row->summary)});
  }
  return known;
}

}  // namespace lorapress
