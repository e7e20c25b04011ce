#include "bundles/graph_rules.h"

#include <array>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "blocks/cached_ids.h"
#include "blocks/shapes.h"
#include "blocks/token_rules.h"
#include "checkpoint/generation_settings.h"

namespace lorapress {
namespace {

constexpr std::array<std::string_view, 3> kGraphRules = {
    "repetition_penalty", "no_repeat_ngram_size", "bad_words_ids"};

HistoryRules history_rules_of(const BundleRequest& request) {
  const GenerationSettings& settings = request.tokenizer.generation.settings;
  HistoryRules rules;
  if (!request.rules_in_graph) {
    return rules;
  }
  rules.repetition_penalty = settings.repetition_penalty.value_or(1.0);
  rules.no_repeat_ngram_size = settings.no_repeat_ngram_size.value_or(0);
  if (settings.bad_words_ids) {
    rules.bad_words =
        without_end_words(*settings.bad_words_ids, request.tokenizer.tokens.eos_token_ids);
  }
  return rules;
}

}  // namespace

std::span<const std::string_view> graph_rule_keys() {
  return kGraphRules;
}

std::vector<std::string> rules_in_graph(const BundleRequest& request) {
  const HistoryRules rules = history_rules_of(request);
  const std::array<bool, kGraphRules.size()> set = {
      rules.repetition_penalty != 1.0, rules.no_repeat_ngram_size > 0, !rules.bad_words.empty()};
  std::vector<std::string> found;
  for (size_t i = 0; i < set.size(); ++i) {
    if (set.at(i)) {
      found.emplace_back(kGraphRules.at(i));
    }
  }
  return found;
}

int64_t cached_pairs(const BundleRequest& request) {
  return request.checkpoint.text->num_hidden_layers + (rules_in_graph(request).empty() ? 0 : 1);
}

std::optional<KeyValue> past_ids_input(const BundleRequest& request, Graph& graph, CacheKind kind) {
  const TextConfig& text = request.checkpoint.text.value();
  if (rules_in_graph(request).empty()) {
    return {};
  }
  const auto input = [&](CachePart part) {
    return graph.input(cache_port(CacheSide::kPast, text.num_hidden_layers, part, kind),
                       DType::kF32,
                       {"batch_size", text.num_key_value_heads, kPastIdsLength, text.head_dim});
  };
  return KeyValue{input(CachePart::kKey), input(CachePart::kValue)};
}

KeyValue add_rules(const BundleRequest& request,
                   const Builder& b,
                   const KeyValue& past_ids,
                   const Value& ids,
                   DecoderOutput& output) {
  const CachedIds cached = cached_ids(b, "/rules/ids", past_ids, ids);
  output.logits =
      apply_history_rules(b, "/rules", history_rules_of(request), output.logits, cached.ids);
  return cached.present;
}

int64_t embeds_width(const BundleRequest& request) {
  return request.checkpoint.text->embedding_width() +
         (rules_in_graph(request).empty() ? 0 : kIdColumns);
}

Value mark_embeds(const BundleRequest& request,
                  const Builder& b,
                  const Value& embeddings,
                  const Value& ids) {
  return rules_in_graph(request).empty() ? embeddings
                                         : with_id_columns(b, "/rules/call", embeddings, ids);
}

//  image_token_id ── Expand [rows, positions] ── with_id_columns
Value mark_image(const BundleRequest& request,
                 const Builder& b,
                 const Value& features,
                 int64_t image_token_id) {
  if (rules_in_graph(request).empty()) {
    return features;
  }
  const Value ids = filled(b,
                           "/rules/image",
                           b.graph.integer(image_token_id),
                           {length_of(b, "/rules/image_rows", features, 0),
                            length_of(b, "/rules/image_positions", features, 1)});
  return with_id_columns(b, "/rules/call", features, ids);
}

void declare_ids(const BundleRequest& request,
                 Graph& graph,
                 const KeyValue& present,
                 CacheKind kind) {
  const TextConfig& text = request.checkpoint.text.value();
  const auto declare = [&](const Value& value, CachePart part) {
    graph.output(value,
                 cache_port(CacheSide::kPresent, text.num_hidden_layers, part, kind),
                 {"batch_size", text.num_key_value_heads, "ids_length", text.head_dim});
  };
  declare(present.key, CachePart::kKey);
  declare(present.value, CachePart::kValue);
}

void note_rules_in_graph(const BundleRequest& request, std::vector<std::string>& notes) {
  if (!request.rules_in_graph) {
    return;
  }
  const std::vector<std::string> rules = rules_in_graph(request);
  if (rules.empty()) {
    notes.emplace_back(
        "options.rules_in_graph: the checkpoint has no repetition_penalty, no_repeat_ngram_size or "
        "bad_words_ids, so the decoder is as without it");
  } else {
    notes.push_back(fmt::format(
        "the decoder itself applies {}: generation_config.json is without {}, and a call cannot "
        "change {}",
        fmt::join(rules, ", "),
        rules.size() == 1 ? "it" : "them",
        rules.size() == 1 ? "it" : "them"));
  }
}

}  // namespace lorapress
