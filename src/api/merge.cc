#include "lorapress/merge.h"

#include <algorithm>
#include <array>

#include "api/folder_files.h"
#include "base/fail.h"
#include "base/file.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "families/family.h"
#include "weights/stream.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTextPrefix = "language_model.";

struct DtypeChoice {
  std::string_view name;
  std::optional<DType> dtype;  // empty: as stored
  std::string_view torch;      // in config.json
};
constexpr std::array kChoices = {
    DtypeChoice{"keep", std::nullopt, ""},
    DtypeChoice{"fp32", DType::kF32, "float32"},
    DtypeChoice{"fp16", DType::kF16, "float16"},
    DtypeChoice{"bf16", DType::kBF16, "bfloat16"},
};

const DtypeChoice& choice(std::string_view name) {
  const auto found = std::ranges::find(kChoices, name, &DtypeChoice::name);
  if (found == kChoices.end()) {
    fail(
        ErrorCode::kInvalidArgument, "options.dtype {} is not one of keep, fp32, fp16, bf16", name);
  }
  return *found;
}

WeightPtr in_dtype(const WeightPtr& weight, const DtypeChoice& wanted) {
  return wanted.dtype && dtype_row(weight->dtype()).is_float ? cast(weight, *wanted.dtype) : weight;
}

// Every tensor of the plan under the name that `rename` gives it; an empty name leaves it out.
template <typename Rename>
FilePlan plan_safetensors(const fs::path& path,
                          const Checkpoint& checkpoint,
                          const DtypeChoice& wanted,
                          const Rename& rename) {
  std::vector<NamedWeight> tensors;
  for (const auto& [canonical, tensor] : checkpoint.tensors) {
    std::string name = rename(canonical, tensor);
    if (!name.empty()) {
      tensors.push_back({std::move(name), in_dtype(tensor.weight, wanted)});
    }
  }
  // The reference writer puts wide dtypes first, so that every tensor starts aligned.
  std::ranges::stable_sort(tensors, std::greater{}, [](const NamedWeight& tensor) {
    return dtype_size(tensor.weight->dtype());
  });
  FilePlan plan(path);
  plan.literal(safetensors_header(tensors));
  for (const NamedWeight& tensor : tensors) {
    plan.weight(tensor.weight);
  }
  return plan;
}

void set_torch_dtype(Json& config, const DtypeChoice& wanted) {
  if (wanted.dtype) {
    for (const char* key : {"dtype", "torch_dtype"}) {
      if (config.contains(key)) {
        config[key] = wanted.torch;
      }
    }
  }
}

// The checkpoint's config without its adapters, and with the towers' configs filled in.
Json merged_config(const Checkpoint& checkpoint, const DtypeChoice& wanted) {
  const CompositeModelType* composite = checkpoint.composite;
  Json config = composite != nullptr ? checkpoint.config
                : checkpoint.text    ? checkpoint.text_json
                                     : checkpoint.vision_json;
  for (const char* key : {"lora_r",
                          "lora_alpha",
                          "lora_target_modules",
                          "lora_dropout",
                          "use_lora",
                          "use_rslora",
                          "use_dora",
                          "peft_config"}) {
    config.erase(key);
  }
  config[kMergedBy] = "lorapress " LORAPRESS_VERSION;  // --force replaces only such a folder
  set_torch_dtype(config, wanted);
  if (composite != nullptr) {
    const std::string vision(composite->vision_key);
    const std::string text(composite->text_key);
    config[vision] = checkpoint.vision_json;
    config[text] = checkpoint.text_json;
    config[vision]["model_type"] = checkpoint.vision->model_type;
    config[text]["model_type"] = checkpoint.text->model_type;
  }
  return config;
}

Json decoder_config(const Checkpoint& checkpoint, const DtypeChoice& wanted) {
  Json config = checkpoint.text_json;
  config["model_type"] = checkpoint.text->model_type;
  config["architectures"] = Json::array({text_family(checkpoint.text->model_type).architecture});
  set_torch_dtype(config, wanted);
  return config;
}

TextFiles side_files(const Checkpoint& checkpoint) {
  TextFiles files;
  const auto take = [&](const char* name, const std::vector<fs::path>& folders) {
    for (const fs::path& folder : folders) {
      if (fs::exists(folder / name) && !files.contains(name)) {
        files[name] = read_text(folder / name);
      }
    }
  };
  for (const char* name : {"tokenizer.json",
                           "tokenizer_config.json",
                           "special_tokens_map.json",
                           "added_tokens.json",
                           "chat_template.jinja"}) {
    take(name, checkpoint.tokenizer_folders());
  }
  take("generation_config.json", checkpoint.folders);
  for (const char* name :
       {"preprocessor_config.json", "processor_config.json", "chat_template.json"}) {
    take(name, checkpoint.folders);
  }
  return files;
}

// Requires that the checkpoint has only tensors that a family declares; others are reported before writing.
void check_tensors(const Checkpoint& checkpoint) {
  Graph scratch("check", 17);
  const Builder b{scratch, OpDialect::kStandard};
  WeightTaker weights(checkpoint);
  std::vector<std::string> prefixes;
  if (checkpoint.composite != nullptr) {
    if (checkpoint.composite->conditioning == Conditioning::kCross) {
      require_prefix_vlm(checkpoint, "");
    }
    const VisionConfig& vision = *checkpoint.vision;
    const VisionFamily& family = vision_family(vision.model_type);
    const Value pixels =
        scratch.input("pixel_values",
                      DType::kF32,
                      {1, vision.num_channels, vision.image_size, vision.image_size});
    const Value features = family.build(b, weights, vision, pixels);
    project(b,
            weights,
            *checkpoint.projection,
            vision.feature_size(),
            checkpoint.text->embedding_width(),
            features);
    for (const std::string_view dead : family.unused_prefixes) {
      weights.drop(std::string(dead));
    }
    prefixes = {"vision_encoder.", "projection."};
  }
  if (checkpoint.text) {
    const TextConfig& text = *checkpoint.text;
    const TextFamily& family = text_family(text.model_type);
    const Dims cache{"batch_size", text.num_key_value_heads, "past", text.head_dim};
    std::vector<KeyValue> past;
    for (int64_t layer = 0; layer < text.num_hidden_layers; ++layer) {
      past.push_back({scratch.input(fmt::format("key.{}", layer), DType::kF32, cache),
                      scratch.input(fmt::format("value.{}", layer), DType::kF32, cache)});
    }
    const Value x = scratch.input(
        "embeddings", DType::kF32, {"batch_size", "sequence_length", text.embedding_width()});
    family.decode(b, weights, text, {family.table(b, weights, text), x, past});
    prefixes.emplace_back(kTextPrefix);
  }
  weights.finish(prefixes);
}

// Writes everything into `folder`.
MergeReport write(const MergeOptions& options,
                  const Checkpoint& checkpoint,
                  const fs::path& folder) {
  const DtypeChoice& wanted = choice(options.dtype);
  MergeReport report;
  report.notes = checkpoint.notes;
  const bool composite = checkpoint.composite != nullptr;
  const auto whole_name = [&](const std::string& canonical, const ModelTensor& tensor) {
    report.tensors += 1;
    report.merged += tensor.adapted ? 1 : 0;
    report.parameters += tensor.weight->bytes() / dtype_size(tensor.weight->dtype());
    if (composite) {
      return tensor.name;
    }
    const size_t dot = canonical.find('.');  // a plain folder has no component prefix
    return canonical.starts_with(kTextPrefix) ? canonical.substr(kTextPrefix.size())
                                              : tensor.name.substr(dot + 1);
  };
  std::vector<FilePlan> plans{
      plan_safetensors(folder / "model.safetensors", checkpoint, wanted, whole_name)};
  TextFiles texts = side_files(checkpoint);
  if (composite) {
    const fs::path decoder = folder / "language_model";
    fs::create_directories(decoder);
    plans.push_back(plan_safetensors(decoder / "model.safetensors",
                                     checkpoint,
                                     wanted,
                                     [](const std::string& canonical, const ModelTensor&) {
                                       return canonical.starts_with(kTextPrefix)
                                                  ? canonical.substr(kTextPrefix.size())
                                                  : "";
                                     }));
    for (const auto& [name, content] : TextFiles(texts)) {
      if (name != "preprocessor_config.json") {
        texts["language_model/" + name] = content;
      }
    }
    texts["language_model/config.json"] = decoder_config(checkpoint, wanted).dump(2) + "\n";
  }
  texts["config.json"] = merged_config(checkpoint, wanted).dump(2) + "\n";
  write_text_files(folder, texts);
  write_files(plans, {.hash = false, .threads = options.threads, .progress = options.progress});
  report.files = list_files(folder);
  return report;
}

MergeReport run(const MergeOptions& options) {
  choice(options.dtype);
  const Checkpoint checkpoint = open_checkpoint(options.source);
  check_tensors(checkpoint);
  protect_sources(options.out, checkpoint.folders);
  StagedOutput staged(options.out, options.force, kOwnFolders);
  MergeReport report =
      staged.fill([&](const fs::path& folder) { return write(options, checkpoint, folder); });
  std::ranges::copy(staged.notes(), std::back_inserter(report.notes));
  return report;
}

}  // namespace

MergeReport merge(const MergeOptions& options) {
  return with_file_errors([&] { return run(options); });
}

}  // namespace lorapress
