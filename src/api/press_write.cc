#include "api/press_write.h"

#include <optional>
#include <ranges>
#include <set>

#include "api/folder_files.h"
#include "base/fail.h"
#include "base/file.h"
#include "base/sha256.h"
#include "bundles/manifest.h"
#include "bundles/model_card.h"
#include "calibration/calibrate.h"
#include "graph/write.h"
#include "quant/weight_scan.h"
#include "schemes/scheme.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

ManifestFile describe_text(const std::string& name, const std::string& content) {
  ManifestFile file{name, content.size(), {}};
  const auto bytes = std::as_bytes(std::span(content));
  for (size_t at = 0; at < bytes.size(); at += kChunkBytes) {
    file.sha256.push_back(
        sha256_hex(bytes.subspan(at, std::min<size_t>(kChunkBytes, bytes.size() - at))));
  }
  return file;
}

// Weights have the same names in every bundle, so the plain one serves all.
ActivationStats measure_activations(const PressPlan& plan,
                                    const fs::path& scratch,
                                    std::vector<std::string>& notes) {
  const PressOptions& options = plan.options();
  std::vector<std::string> ignored;
  const std::vector<BundleGraph> plain = bundle("transformers.js").graphs(plan.request(), ignored);
  const Model encoder = to_model(plain.at(0).graph);
  const Model decoder = to_model(plain.at(1).graph);
  const SpecialTokens& tokens = plan.tokenizer().tokens;
  CalibrationReport done;
  ActivationStats stats =
      calibrate({encoder,
                 decoder,
                 plan.preprocessing(),
                 tokens.decoder_start_token_id,
                 tokens.eos_token_ids,
                 plan.request().max_new_tokens},
                {options.calibrate, scratch, options.threads, options.progress, options.engine},
                done);
  std::ranges::move(done.notes, std::back_inserter(notes));
  return stats;
}

std::string human_size(const std::vector<FilePlan>& parts) {
  constexpr double kGiga = 1e9;
  uint64_t bytes = 0;
  for (const FilePlan& part : parts) {
    bytes += part.size();
  }
  return fmt::format("{:.1f} GB", static_cast<double>(bytes) / kGiga);
}

// The files of all graphs in all dtypes, and what lorapress.json and the client's files say of them.
struct GraphPlans {
  std::vector<FilePlan> files;
  std::map<std::string, int> data_files;  // external data, by the graph's file name
  Json graphs = Json::object();
  Json graph_files = Json::object();
};

class GraphPlanner {
 public:
  GraphPlanner(const PressPlan& plan,
               const fs::path& folder,
               const std::optional<ActivationStats>& statistics,
               std::vector<std::string>& notes)
      : plan_(plan), folder_(folder), statistics_(statistics), notes_(notes) {}

  GraphPlans plan_all() {
    for (const std::string& dtype : plan_.dtypes()) {
      std::map<std::string, SharedData> shared;  // by BundleGraph::data
      for (const PlannedGraph& graph : plan_.graphs()) {
        add(graph, dtype, shared);
      }
      for (auto& [name, data] : shared) {
        std::ranges::move(data.take(), std::back_inserter(made_.files));
      }
    }
    return std::move(made_);
  }

 private:
  // The graph in a dtype; its weights are still lazy.
  Model model_in(const std::string& dtype, const PlannedGraph& graph) {
    const PressOptions& options = plan_.options();
    Model model = graph.model;
    scheme(dtype).apply(model,
                        {options.scheme,
                         statistics_ ? &*statistics_ : nullptr,
                         &notes_,
                         options.threads,
                         nullptr,
                         &scans_});
    graph.order.apply(model);
    return model;
  }

  void add(const PlannedGraph& graph,
           const std::string& dtype,
           std::map<std::string, SharedData>& shared) {
    const BundleGraph& row = graph.bundle_graph;
    const std::string suffix = std::string(scheme(dtype).suffix) + ".onnx";
    const std::string name = row.path + suffix;
    fs::create_directories((folder_ / name).parent_path());
    made_.graphs[dtype][row.role] = name;
    const Model model = model_in(dtype, graph);
    GraphFile facts = graph_facts(model.proto.graph());
    std::set<fs::path> data;
    if (!row.data.empty()) {
      const auto files = shared.try_emplace(row.data, folder_ / (row.data + suffix + "_data"));
      made_.files.push_back(files.first->second.plan_graph(model, folder_ / name));
      data = files.first->second.take_used();
    } else {
      std::vector<FilePlan> parts = plan_onnx(model, folder_ / name, plan_.options().external_data);
      if (parts.size() > 1 && plan_.bundle().folder.on_hub) {
        fail(
            ErrorCode::kUnsupported,
            "{}: {} is above the 2 GB of one protobuf file, and bundle \"{}\" has each graph in one "
            "file; choose smaller options.dtypes than {}",
            name,
            human_size(parts),
            plan_.bundle().name,
            dtype);
      }
      for (const FilePlan& part : parts | std::views::drop(1)) {
        data.insert(part.path());
      }
      made_.data_files[fs::path(name).filename().string()] = static_cast<int>(data.size());
      std::ranges::move(parts, std::back_inserter(made_.files));
    }
    for (const fs::path& file : data) {
      facts.external_data.push_back(file.lexically_relative(folder_).generic_string());
    }
    made_.graph_files[name] = graph_file_json(facts);
  }

  const PressPlan& plan_;
  const fs::path& folder_;
  const std::optional<ActivationStats>& statistics_;
  std::vector<std::string>& notes_;
  ScanMemo scans_;  // what one dtype learned of a weight, for the others
  GraphPlans made_;
};

void write_manifest(const PressPlan& plan,
                    const fs::path& folder,
                    const TextFiles& texts,
                    const std::vector<WrittenFile>& written,
                    Json manifest) {
  manifest["files"] = Json::array();
  for (const auto& [name, content] : texts) {
    manifest["files"].push_back(manifest_file_json(describe_text(name, content)));
  }
  for (const WrittenFile& file : written) {
    manifest["files"].push_back(manifest_file_json(
        {file.path.lexically_relative(folder).generic_string(), file.bytes, file.chunk_sha256}));
  }
  if (plan.bundle().folder.on_hub) {
    write_text(folder / kModelCard, model_card(manifest, {.place = plan.place()}));
  }
  write_text(folder / kManifestName, manifest.dump(2) + "\n");
}

}  // namespace

void write_press(PressPlan& plan, const fs::path& folder, std::vector<std::string>& notes) {
  const PressOptions& options = plan.options();
  std::optional<ActivationStats> statistics;
  if (!options.calibrate.empty()) {
    plan.finish_tokenizer_check();
    statistics = measure_activations(plan, folder, notes);
  }
  GraphPlans graphs = GraphPlanner(plan, folder, statistics, notes).plan_all();
  TextFiles texts = plan.tokenizer().files;
  for (const auto& [name, json] : plan.bundle().files(plan.request(), graphs.data_files)) {
    texts[name] = json.dump(2) + "\n";
  }
  plan.finish_tokenizer_check();
  write_text_files(folder, texts);
  const std::vector<WrittenFile> written = write_files(
      graphs.files, {.hash = true, .threads = options.threads, .progress = options.progress});
  Json manifest = manifest_json(plan.request(), std::string(plan.bundle().name), plan.dtypes());
  manifest["graphs"] = std::move(graphs.graphs);
  manifest["graph_files"] = std::move(graphs.graph_files);
  write_manifest(plan, folder, texts, written, std::move(manifest));
  plan.drop_shared_rows();
}

}  // namespace lorapress
