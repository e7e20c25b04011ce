#include "checkpoint/adapter_config.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/fail.h"
#include "checkpoint/adapter_fields.h"

namespace lorapress {
namespace {

constexpr int64_t kMostRank = 1 << 20;
constexpr size_t kMostKeys = 10'000;
constexpr size_t kMostExpressions = 1'000;  // keys that are not plain names
constexpr size_t kMostCompiledBytes = size_t{16} << 20;

Pattern parse_pattern(const nlohmann::ordered_json& json,
                      std::string_view key,
                      std::string_view where) {
  Pattern pattern;
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) {
    return pattern;
  }
  if (!found->is_object() || found->size() > kMostKeys) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"{}\" is not an object of at most {} numbers",
         where,
         key,
         kMostKeys);
  }
  size_t bytes = 0;
  size_t expressions = 0;
  for (const auto& [module, value] : found->items()) {
    if (!value.is_number()) {
      fail(ErrorCode::kInvalidFile, "{}: {}: \"{}\" is not a number", where, key, module);
    }
    pattern.push_back(
        {NamePattern(module, fmt::format("{}: {}", where, key)), value.get<double>()});
    const size_t compiled = pattern.back().key.compiled_bytes();
    bytes += compiled;
    expressions += compiled != 0 ? 1 : 0;
    if (expressions > kMostExpressions || bytes > kMostCompiledBytes) {
      fail(ErrorCode::kInvalidFile,
           "{}: {}: more or larger regular expressions than {} and {} bytes; use the names of the "
           "modules",
           where,
           key,
           kMostExpressions,
           kMostCompiledBytes);
    }
  }
  return pattern;
}

// true, false and null only initialize A and B, which the file holds.
std::string parse_init(const Json& json, std::string_view where) {
  const auto found = json.find("init_lora_weights");
  if (found == json.end() || found->is_null() || found->is_boolean()) {
    return "";
  }
  return json_get<std::string>(json, "init_lora_weights", where);
}

std::vector<std::string> parse_names(const Json& json, const char* key, const std::string& where) {
  std::vector<std::string> names;
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) {
    return names;
  }
  const bool strings = found->is_array() && std::ranges::all_of(*found, [](const Json& name) {
                         return name.is_string();
                       });
  if (!strings || found->size() > kMostKeys) {
    fail(ErrorCode::kInvalidFile, "{}: \"{}\" is not a list of names", where, key);
  }
  for (const Json& name : *found) {
    names.push_back(name.get<std::string>());
  }
  return names;
}

// PEFT, BdLoraConfig.
std::optional<BlockDiagonal> parse_bdlora(const Json& json, std::string_view where) {
  const auto found = json.find("use_bdlora");
  if (found == json.end() || found->is_null() || *found == Json(false)) {
    return std::nullopt;
  }
  const std::string place = fmt::format("{}: use_bdlora", where);
  if (!found->is_object()) {
    fail(ErrorCode::kInvalidFile, "{}: expected an object", place);
  }
  BlockDiagonal blocks{parse_names(*found, "target_modules_bd_a", place),
                       parse_names(*found, "target_modules_bd_b", place),
                       json_or<int64_t>(*found, "nblocks", 1, place)};
  check_rank(static_cast<double>(blocks.blocks), "nblocks", place);
  return blocks;
}

// A parameter of a linear module is adapted as the module itself (PEFT, ParamWrapper); only the
// names that patterns match differ.
void check_target_parameters(const Json& json, const AdapterConfig& config) {
  const auto found = json.find("target_parameters");
  if (found != json.end() && !found->empty() &&
      !(config.rank_pattern.empty() && config.alpha_pattern.empty())) {
    fail(ErrorCode::kUnsupported,
         "{}: target_parameters together with rank_pattern or alpha_pattern is not supported; "
         "merge with PEFT's merge_and_unload() and pass what it saves",
         config.where);
  }
}

// The fields that adapter_config.json and a trainer's config.json share.
AdapterConfig parse_shared(const Json& json, std::string_view text, std::string_view where) {
  AdapterConfig config;
  config.where = where;
  config.lora_alpha = json_or<double>(json, "lora_alpha", config.lora_alpha, where);
  config.use_rslora = json_or<bool>(json, "use_rslora", false, where);
  if (json.contains("use_dora")) {
    config.use_dora = json_or<bool>(json, "use_dora", false, where);
  }
  const auto kasa = json.find("kasa_config");  // {} means on, with defaults
  config.kasa = kasa != json.end() && !kasa->is_null() && *kasa != Json(false);
  config.init_lora_weights = parse_init(json, where);
  const auto ordered = nlohmann::ordered_json::parse(text);
  config.rank_pattern = parse_pattern(ordered, "rank_pattern", where);
  config.alpha_pattern = parse_pattern(ordered, "alpha_pattern", where);
  config.block_diagonal = parse_bdlora(json, where);
  config.trained = parse_trained_modules(json, where);
  check_target_parameters(json, config);
  config.fan_in_fan_out = json_or<bool>(json, "fan_in_fan_out", false, where);
  return config;
}

void check_ranks(const AdapterConfig& config) {
  for (const PatternRow& row : config.rank_pattern) {
    check_rank(row.value, row.key.key(), config.where);
  }
}

Json parse_object(std::string_view text, std::string_view where) {
  Json json = parse_json(text, where);
  if (!json.is_object()) {
    fail(ErrorCode::kInvalidFile, "{}: expected a JSON object", where);
  }
  return json;
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(
      result, result.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  return result;
}

}  // namespace

double match_pattern(const Pattern& pattern, std::string_view module, double fallback) {
  for (const PatternRow& row : pattern) {
    if (row.key.matches(module)) {
      return row.value;
    }
  }
  const auto named =
      std::ranges::find(pattern, module, [](const PatternRow& row) { return row.key.key(); });
  return named == pattern.end() ? fallback : named->value;
}

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

AdapterConfig parse_adapter_config(std::string_view text, std::string_view where) {
  const Json json = parse_object(text, where);
  const auto type = json_or<std::string>(json, "peft_type", "LORA", where);
  if (type != "LORA") {
    fail(ErrorCode::kUnsupported,
         "{}: peft_type {} is not supported, expected LORA (with rsLoRA, DoRA, PiSSA, OLoRA, KaSA "
         "or BD-LoRA)",
         where,
         type);
  }
  check_adapter_fields(json, where, true);
  AdapterConfig config = parse_shared(json, text, where);
  config.r = json_or<int64_t>(json, "r", config.r, where);
  config.base_model_name_or_path = json_or<std::string>(json, "base_model_name_or_path", "", where);
  check_rank(static_cast<double>(config.r), "r", where);
  check_ranks(config);
  return config;
}

AdapterConfig parse_trainer_config(std::string_view text, std::string_view where) {
  const Json json = parse_object(text, where);
  check_adapter_fields(json, where, false);
  AdapterConfig config = parse_shared(json, text, where);
  config.r = json_or<int64_t>(json, "lora_r", config.r, where);
  // The tensors are the model's own state, so they show which options were on.
  config.use_dora = config.use_dora == true ? config.use_dora : std::nullopt;
  config.kasa = config.kasa == true ? config.kasa : std::nullopt;
  check_ranks(config);
  return config;
}

BaseChange base_change(const AdapterConfig& config, bool kasa) {
  // peft/tuners/lora/layer.py, LoraLayer.update_layer. These only initialize A and B:
  constexpr std::array<std::string_view, 5> kFillOnly = {
      "", "gaussian", "eva", "orthogonal", "mica"};
  const std::string init = lower(config.init_lora_weights);
  const bool fills = std::ranges::find(kFillOnly, init) != kFillOnly.end();
  if (fills) {
    return kasa ? BaseChange::kKasa : BaseChange::kNone;
  }
  if (!kasa && (init == "pissa" || init == "olora")) {
    return init == "pissa" ? BaseChange::kPissa : BaseChange::kOlora;
  }
  // pissa_niter_N: a randomized SVD, which differs on every load. corda, lora_ga: need training
  // data or gradients that are not saved. loftq: replaces the base by its quantized values.
  const bool known = init.starts_with("pissa_niter_") || init.starts_with("corda") ||
                     init == "lora_ga" || init == "loftq" || kasa;
  fail(ErrorCode::kUnsupported,
       "{}: init_lora_weights \"{}\"{} {}; save the adapter with "
       "path_initial_model_for_weight_conversion, or, if what you pass is the base as training "
       "changed it, set init_lora_weights to true",
       config.where,
       config.init_lora_weights,
       kasa ? " with kasa_config" : "",
       known ? "changes the base before training in a way that cannot be computed again"
             : "is not known here and may change the base before training");
}

}  // namespace lorapress
