#include "checkpoint/resolve.h"

#include <array>

#include "base/fail.h"
#include "checkpoint/folder.h"
#include "checkpoint/known_models.h"
#include "checkpoint/model_types.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

std::optional<Layout> layout_of(std::string_view model_type) {
  if (find_model_type(composite_model_types(), model_type) != nullptr) {
    return Layout::kComposite;
  }
  if (find_model_type(text_model_types(), model_type) != nullptr) {
    return Layout::kText;
  }
  const bool vision = std::ranges::any_of(vision_model_types(), [&](const VisionModelType* type) {
    return type->model_type == model_type || type->whole_model_type == model_type;
  });
  return vision ? std::optional(Layout::kVision) : std::nullopt;
}

std::vector<std::string_view> known_model_types() {
  std::vector<std::string_view> known;
  std::ranges::transform(
      composite_model_types(), std::back_inserter(known), &CompositeModelType::model_type);
  std::ranges::transform(text_model_types(), std::back_inserter(known), &TextModelType::model_type);
  for (const VisionModelType* type : vision_model_types()) {
    if (type->whole_model_type != type->model_type) {
      known.push_back(type->whole_model_type);
    }
    known.push_back(type->model_type);
  }
  return known;
}

ModelFolder classify(const fs::path& folder) {
  const fs::path config = folder / "config.json";
  if (!fs::is_directory(folder)) {
    fail(ErrorCode::kNotFound,
         "{}: no such folder; expected a checkpoint folder with config.json",
         folder.string());
  }
  if (!fs::exists(config)) {
    fail(ErrorCode::kNotFound,
         "{}: no config.json; expected a checkpoint that the trainer or save_pretrained wrote{}",
         folder.string(),
         training_step_hint(folder));
  }
  ModelFolder model{folder, Layout::kComposite, nullptr, read_json(config), has_model_file(folder)};
  if (!model.config.is_object()) {
    fail(ErrorCode::kInvalidFile, "{}: expected a JSON object", config.string());
  }
  const auto type = json_or<std::string>(model.config, "model_type", "", config.string());
  if (const auto layout = layout_of(type)) {
    model.layout = *layout;
    model.composite = find_model_type(composite_model_types(), type);
    return model;
  }
  fail(ErrorCode::kUnsupported,
       "{}: model_type \"{}\" is not supported (supported: {})",
       config.string(),
       type,
       fmt::join(known_model_types(), ", "));
}

// The base of an adapter folder given as the checkpoint, where its config names a local folder or a
// model in the Hugging Face cache.
std::optional<fs::path> named_base(const fs::path& adapter) {
  const fs::path config = adapter / "adapter_config.json";
  const auto name =
      json_or<std::string>(read_json(config), "base_model_name_or_path", "", config.string());
  if (!name.empty() && fs::exists(fs::path(name) / "config.json")) {
    return fs::path(name);
  }
  return cached_model(name);
}

const Json* member(const Json& config, std::string_view key) {
  const auto found = config.find(key);
  return found != config.end() && found->is_object() ? &*found : nullptr;
}

// Names under which trainers record which model a tower came from.
constexpr std::array kVisionNames = {"vision_model_name",
                                     "vision_encoder_name",
                                     "vision_model_name_or_path",
                                     "vision_encoder",
                                     "vision_model"};
constexpr std::array kTextNames = {"language_model_name",
                                   "text_model_name",
                                   "language_model_name_or_path",
                                   "text_model_name_or_path",
                                   "lm_model_name",
                                   "language_model",
                                   "text_model"};

struct Part {
  std::string_view title;   // in messages
  std::string_view config;  // also in messages
  // The member of a composite's config.json with this part's.
  std::string_view CompositeModelType::* key;
  Layout layout;  // of a folder that is this part alone
  std::span<const char* const> names;
};

struct FoundConfig {
  Json json;
  std::string where;
};

std::string tower_name(const Json& config, const Part& part) {
  for (const char* key : part.names) {
    const auto found = config.find(key);
    if (found != config.end() && found->is_string()) {
      return found->get<std::string>();
    }
  }
  return "";
}

// A full SigLIP config holds the tower's own under vision_config, also inside a composite config.
FoundConfig tower_config(const Json& config, const Part& part, std::string where) {
  const Json* inner = part.layout == Layout::kVision ? member(config, "vision_config") : nullptr;
  FoundConfig found{inner != nullptr ? *inner : config, std::move(where)};
  if (inner != nullptr && !inner->contains("model_type")) {  // the outer type says whose tower
    const auto whole = json_or<std::string>(config, "model_type", "", found.where);
    for (const VisionModelType* type : vision_model_types()) {
      if (type->whole_model_type == whole) {
        found.json["model_type"] = type->model_type;
      }
    }
  }
  return found;
}

FoundConfig own_config(const ModelFolder& model, const Part& part) {
  return tower_config(model.config, part, (model.path / "config.json").string());
}

std::optional<FoundConfig> find_config(const ResolvedSource& source,
                                       const Part& part,
                                       std::vector<std::string>& notes) {
  std::string name;
  for (const ModelFolder& model : source.models) {
    if (model.layout == part.layout) {
      return own_config(model, part);
    }
    if (model.layout == Layout::kComposite) {
      const std::string_view key = model.composite->*part.key;
      if (const Json* inner = member(model.config, key)) {
        return tower_config(
            *inner, part, (model.path / "config.json").string() + ": " + std::string(key));
      }
      name = name.empty() ? tower_name(model.config, part) : name;
    }
  }
  if (const auto cached = cached_model(name)) {
    notes.push_back(fmt::format("{} taken from the local cache of {}", part.config, name));
    return own_config(classify(*cached), part);
  }
  if (auto known = known_config(name)) {
    notes.push_back(fmt::format("{} taken from the built-in table: {}", part.config, name));
    return FoundConfig{std::move(*known), name};
  }
  return std::nullopt;
}

[[noreturn]] void fail_config(const ResolvedSource& source, const Part& part) {
  fail(ErrorCode::kNotFound,
       "{}: {} is null and names no known model; pass options.base DIR with the {}'s config.json",
       (source.models[0].path / "config.json").string(),
       part.config,
       part.title);
}

}  // namespace

ResolvedSource resolve_source(const Source& source) {
  if (source.checkpoint.empty()) {
    fail(ErrorCode::kInvalidArgument, "CHECKPOINT is empty, expected the name of a folder");
  }
  ResolvedSource resolved;
  const bool is_adapter = fs::exists(source.checkpoint / "adapter_config.json") &&
                          !fs::exists(source.checkpoint / "config.json");
  if (is_adapter) {
    resolved.adapters.push_back({source.checkpoint, 1.0});
    if (source.bases.empty()) {
      const auto base = named_base(source.checkpoint);
      if (!base) {
        fail(ErrorCode::kNotFound,
             "{}: is an adapter and its base model is not here; pass options.base DIR",
             source.checkpoint.string());
      }
      resolved.models.push_back(classify(*base));
    }
  } else {
    resolved.models.push_back(classify(source.checkpoint));
    if (!resolved.models[0].has_tensors && source.bases.empty()) {
      open_model_folder(source.checkpoint);  // throws, naming what is missing
    }
  }
  for (const fs::path& base : source.bases) {
    resolved.models.push_back(classify(base));
  }
  resolved.adapters.insert(resolved.adapters.end(), source.adapters.begin(), source.adapters.end());
  return resolved;
}

void resolve_configs(const ResolvedSource& source, Checkpoint& checkpoint) {
  const Part vision{"vision tower",
                    "vision_config",
                    &CompositeModelType::vision_key,
                    Layout::kVision,
                    kVisionNames};
  const Part text{
      "decoder", "text_config", &CompositeModelType::text_key, Layout::kText, kTextNames};
  for (const ModelFolder& model : source.models) {
    if (model.layout == Layout::kComposite && checkpoint.composite == nullptr) {
      checkpoint.composite = model.composite;
      const std::string where = (model.path / "config.json").string();
      checkpoint.config_where["projection"] = where;
      checkpoint.projection = model.composite->read_projection(model.config, where);
      checkpoint.max_new_tokens = json_or<int64_t>(model.config, "max_length", 30, where);
      if (checkpoint.max_new_tokens < 1 || checkpoint.max_new_tokens > 100'000) {
        fail(ErrorCode::kInvalidFile,
             "{}: \"max_length\" is {}, expected 1 to 100000",
             where,
             checkpoint.max_new_tokens);
      }
    }
  }
  if (auto found = find_config(source, vision, checkpoint.notes)) {
    checkpoint.vision = parse_vision_config(found->json, found->where);
    checkpoint.config_where["vision_encoder"] = found->where;
    checkpoint.vision_json = std::move(found->json);
  } else if (checkpoint.composite != nullptr) {
    fail_config(source, vision);
  }
  if (auto found = find_config(source, text, checkpoint.notes)) {
    if (checkpoint.composite != nullptr &&
        checkpoint.composite->conditioning == Conditioning::kPlaceholder) {
      // These classes tie their own lm_head and take the whole config's word.
      const bool tied = json_or<bool>(found->json, "tie_word_embeddings", false, found->where);
      found->json["tie_word_embeddings"] =
          json_or<bool>(checkpoint.config, "tie_word_embeddings", tied, found->where);
    }
    checkpoint.text = parse_text_config(found->json, found->where);
    std::ranges::copy(checkpoint.text->notes, std::back_inserter(checkpoint.notes));
    checkpoint.config_where["language_model"] = found->where;
    checkpoint.text_json = std::move(found->json);
  } else if (checkpoint.composite != nullptr) {
    fail_config(source, text);
  }
  for (const ModelFolder& model : source.models) {
    if (model.composite != nullptr && model.composite->read_whole != nullptr) {
      const std::string where = (model.path / "config.json").string();
      return model.composite->read_whole(model.config, where, checkpoint);
    }
  }
}

}  // namespace lorapress
