#include "bundles/manifest_generation.h"

#include <algorithm>

#include "base/fail.h"
#include "bundles/graph_rules.h"
#include "checkpoint/generation_settings.h"

namespace lorapress {
namespace {

constexpr const char* kGeneration = "generation";
constexpr const char* kOverrides = "overrides";
constexpr const char* kRulesInGraph = "rules_in_graph";
constexpr const char* kEnds = "eos_token_id";

void read_rules_in_graph(const Json& json, const std::string& where, Manifest& manifest) {
  const auto found = json.find(kRulesInGraph);
  if (found == json.end()) {
    return;
  }
  const Json set = generation_settings_json(manifest.generation);
  const auto is_rule = [&](const Json& rule) {
    const auto keys = graph_rule_keys();
    return rule.is_string() && set.contains(rule.get_ref<const std::string&>()) &&
           std::ranges::find(keys, std::string_view(rule.get_ref<const std::string&>())) !=
               keys.end();
  };
  if (!found->is_array() || !std::ranges::all_of(*found, is_rule)) {
    fail(ErrorCode::kInvalidFile,
         "{}: \"{}\" is not a list of settings of \"{}\", each one of {}",
         where,
         kRulesInGraph,
         kGeneration,
         fmt::join(graph_rule_keys(), ", "));
  }
  manifest.rules_in_graph = found->get<std::vector<std::string>>();
}

}  // namespace

void add_generation(const BundleRequest& request, Json& manifest) {
  const SpecialTokens& tokens = request.tokenizer.tokens;
  Json generation = generation_settings_json(request.tokenizer.generation.settings);
  generation.update({{"decoder_start_token_id", tokens.decoder_start_token_id},
                     {"bos_token_id", tokens.bos_token_id},
                     {kEnds, tokens.eos_token_ids},
                     {"pad_token_id", tokens.pad_token_id},
                     {"max_new_tokens", request.max_new_tokens}});
  manifest[kGeneration] = generation;
  if (const Json& overrides = request.tokenizer.generation.overrides; !overrides.empty()) {
    manifest[kOverrides] = overrides;
  }
  if (const auto rules = rules_in_graph(request); !rules.empty()) {
    manifest[kRulesInGraph] = rules;
  }
}

void read_generation(const Json& json, const std::string& where, Manifest& manifest) {
  const auto object = [&](const char* key) {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_object()) {
      fail(ErrorCode::kInvalidFile, "{}: \"{}\" is missing, expected an object", where, key);
    }
    return *found;
  };
  const Json generation = object(kGeneration);
  const int64_t last = manifest.vocab_size - 1;
  manifest.decoder_start_token_id =
      json_bounded(generation, "decoder_start_token_id", 0, last, where);
  manifest.max_new_tokens = json_bounded(generation, "max_new_tokens", 1, 1 << 20, where);
  manifest.generation = parse_generation_settings(generation, manifest.vocab_size, where);
  manifest.generation.max_new_tokens.reset();
  const auto eos = generation.find(kEnds);
  if (eos == generation.end() || !eos->is_array() || eos->empty() || eos->size() > 1024) {
    fail(ErrorCode::kInvalidFile, "{}: \"{}\" is not a list of token ids", where, kEnds);
  }
  for (const Json& id : *eos) {
    manifest.eos_token_ids.push_back(json_bounded({{kEnds, id}}, kEnds, 0, last, where));
  }
  if (json.contains(kOverrides)) {
    manifest.overrides = object(kOverrides);
  }
  read_rules_in_graph(json, where, manifest);
}

}  // namespace lorapress
