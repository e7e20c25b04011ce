#include "checkpoint/adapter.h"

#include <cmath>
#include <re2/re2.h>

#include "base/fail.h"
#include "base/file.h"
#include "weights/table_rows.h"

namespace lorapress {
namespace {

using Pattern = std::vector<PatternRow>;

constexpr int64_t kMostRank = 1 << 20;

// peft/utils/other.py, get_pattern_key: a key is a regular expression for the end of the name.
// RE2 instead of a backtracking engine, so that no pattern can hang.
Pattern parse_pattern(const nlohmann::ordered_json& json,
                      std::string_view key,
                      std::string_view where) {
  constexpr size_t kMost = 10'000;
  Pattern pattern;
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) {
    return pattern;
  }
  if (!found->is_object() || found->size() > kMost) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"{}\" is not an object of at most {} numbers",
         where,
         key,
         kMost);
  }
  for (const auto& [module, value] : found->items()) {
    if (!value.is_number()) {
      fail(ErrorCode::kInvalidFile, "{}: {}: \"{}\" is not a number", where, key, module);
    }
    pattern.push_back({module,
                       std::make_shared<const RE2>("(?:.*\\.)?(?:" + module + ")", RE2::Quiet),
                       value.get<double>()});
  }
  return pattern;
}

double match_pattern(const Pattern& pattern, const std::string& module, double fallback) {
  for (const PatternRow& row : pattern) {
    if (row.key == module || (row.expression->ok() && RE2::FullMatch(module, *row.expression))) {
      return row.value;
    }
  }
  return fallback;
}

// Of r and rank_pattern.
void check_rank(double rank, std::string_view what, std::string_view where) {
  if (!(rank >= 1.0 && rank <= static_cast<double>(kMostRank)) || rank != std::floor(rank)) {
    fail(ErrorCode::kInvalidFile,
         "{}: {} is {}, expected a whole number from 1 to {}",
         where,
         what,
         rank,
         kMostRank);
  }
}

// Puts a tensor where nothing was before.
void place(WeightPtr& slot, WeightPtr value, std::string_view what, const std::string& where) {
  if (slot) {
    fail(ErrorCode::kInvalidFile, "{}: {} is there twice, under two spellings", where, what);
  }
  slot = std::move(value);
}

void check_module(const Adapter& adapter, const std::string& key, const AdapterModule& module) {
  const auto expected = static_cast<int64_t>(match_pattern(
      adapter.config.rank_pattern, module.relative_module, static_cast<double>(adapter.config.r)));
  if (module.a->rows() != expected || module.b->cols() != expected) {
    fail(ErrorCode::kMismatch,
         "{}: {}: rank mismatch: lora_A is [{}] and lora_B [{}], the configuration says r = {}; "
         "correct lora_r (r) or take the adapter's own adapter_config.json",
         adapter.where,
         key,
         fmt::join(module.a->shape(), ", "),
         fmt::join(module.b->shape(), ", "),
         expected);
  }
  for (const WeightPtr& part : {module.a, module.b, module.b_bias, module.magnitude}) {
    if (part && !dtype_row(part->dtype()).is_float) {
      fail(ErrorCode::kUnsupported,
           "{}: {}: a tensor of the adapter is {}, expected floats",
           adapter.where,
           key,
           dtype_name(part->dtype()));
    }
  }
  if (!std::isfinite(static_cast<float>(adapter.scaling(module)))) {
    fail(ErrorCode::kInvalidFile,
         "{}: {}: the scaling is {}, expected a finite number; correct lora_alpha or the "
         "adapter's weight",
         adapter.where,
         key,
         adapter.scaling(module));
  }
}

}  // namespace

AdapterConfig parse_adapter_config(std::string_view text, std::string_view where) {
  const Json json = parse_json(text, where);
  if (!json.is_object()) {
    fail(ErrorCode::kInvalidFile, "{}: expected a JSON object", where);
  }
  const auto type = json_or<std::string>(json, "peft_type", "LORA", where);
  if (type != "LORA") {
    fail(ErrorCode::kUnsupported,
         "{}: peft_type {} is not supported, expected LORA (with rsLoRA or DoRA)",
         where,
         type);
  }
  AdapterConfig config;
  config.r = json_or<int64_t>(json, "r", config.r, where);
  config.lora_alpha = json_or<double>(json, "lora_alpha", config.lora_alpha, where);
  config.use_rslora = json_or<bool>(json, "use_rslora", false, where);
  config.fan_in_fan_out = json_or<bool>(json, "fan_in_fan_out", false, where);
  const auto ordered = nlohmann::ordered_json::parse(text);
  config.rank_pattern = parse_pattern(ordered, "rank_pattern", where);
  config.alpha_pattern = parse_pattern(ordered, "alpha_pattern", where);
  config.base_model_name_or_path = json_or<std::string>(json, "base_model_name_or_path", "", where);
  config.trained = parse_trained_modules(json, where);
  check_rank(static_cast<double>(config.r), "r", where);
  for (const PatternRow& row : config.rank_pattern) {
    check_rank(row.value, row.key, where);
  }
  return config;
}

void Adapter::add(const TensorName& tensor, WeightPtr value) {
  if (tensor.role == TensorRole::kBase || tensor.role == TensorRole::kReplacement) {
    WeightPtr& slot = (tensor.original ? originals : replacements)[tensor.canonical];
    // Where an embedding was resized, save_pretrained stores "modules_to_save.weight", too.
    if (slot && same_values(*slot, *value)) {
      return;
    }
    return place(slot, std::move(value), tensor.canonical, where);
  }
  if (tensor.role == TensorRole::kTokenRows) {
    return place(token_rows[tensor.canonical],
                 std::move(value),
                 tensor.canonical + ": trainable_tokens_delta",
                 where);
  }
  std::string key = tensor.canonical;
  if (tensor.role == TensorRole::kLoraBBias) {
    key.replace(key.size() - 4, 4, "weight");  // the module is filed under its weight
  }
  AdapterModule& module = modules[key];
  module.relative_module = tensor.relative_module;
  module.embedding = module.embedding || tensor.embedding;
  switch (tensor.role) {
    case TensorRole::kLoraA:
      return place(module.a, std::move(value), key + ": lora_A", where);
    case TensorRole::kLoraB:
      return place(module.b, std::move(value), key + ": lora_B", where);
    case TensorRole::kLoraBBias:
      return place(module.b_bias, std::move(value), key + ": the bias of lora_B", where);
    default:
      return place(module.magnitude, std::move(value), key + ": the DoRA magnitude", where);
  }
}

void Adapter::check() const {
  check_rank(static_cast<double>(config.r), "lora_r", where);
  for (const auto& [key, module] : modules) {
    if (!module.a || !module.b) {
      fail(ErrorCode::kMismatch,
           "{}: {}: {} is missing, a LoRA needs both lora_A and lora_B; save the adapter again",
           where,
           key,
           module.a ? "lora_B" : "lora_A");
    }
    check_module(*this, key, module);
  }
}

double Adapter::scaling(const AdapterModule& module) const {
  const double alpha =
      match_pattern(config.alpha_pattern, module.relative_module, config.lora_alpha);
  const auto rank = static_cast<double>(module.a->rows());
  return weight * alpha / (config.use_rslora ? std::sqrt(rank) : rank);
}

LoraDelta Adapter::delta(const AdapterModule& module) const {
  return {module.a,
          module.b,
          scaling(module),
          module.magnitude,
          config.fan_in_fan_out || module.embedding};
}

Adapter open_adapter(const std::filesystem::path& folder, double weight) {
  const std::filesystem::path config = folder / "adapter_config.json";
  const std::filesystem::path tensors = folder / "adapter_model.safetensors";
  if (!std::filesystem::exists(config)) {
    fail(ErrorCode::kNotFound,
         "{}: no adapter_config.json; expected a folder that PEFT's save_pretrained wrote",
         folder.string());
  }
  if (!std::filesystem::exists(tensors) && std::filesystem::exists(folder / "adapter_model.bin")) {
    fail(ErrorCode::kUnsupported,
         "{}: adapter_model.bin is a pickle; save the adapter with safe_serialization=True",
         folder.string());
  }
  Adapter adapter;
  adapter.where = folder.string();
  adapter.weight = weight;
  adapter.own_folder = true;
  adapter.config = parse_adapter_config(read_text(config, kMaxJson), config.string());
  for (auto& [name, tensor] : open_safetensors(tensors)) {
    const auto parsed = parse_adapter_name(name);
    if (!parsed) {
      fail(
          ErrorCode::kInvalidFile, "{}: tensor {}: not a name PEFT writes", tensors.string(), name);
    }
    adapter.add(*parsed, tensor);
  }
  adapter.check();
  return adapter;
}

}  // namespace lorapress
