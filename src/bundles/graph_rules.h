// The rules that a decoder graph applies to its own logits, for clients that apply none (press with
// options.rules_in_graph). The ids so far travel as one more pair of the key/value cache, behind the layers'
// own, with shapes and types like theirs, so that clients feed it as they feed any layer.
#ifndef LORAPRESS_BUNDLES_GRAPH_RULES_H_
#define LORAPRESS_BUNDLES_GRAPH_RULES_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "blocks/decoder.h"
#include "bundles/bundle.h"
#include "graph/ports.h"

namespace lorapress {

// The settings that can lie in a graph: repetition_penalty, no_repeat_ngram_size, bad_words_ids.
std::span<const std::string_view> graph_rule_keys();
// Those that the request's graph has; none unless the request asks for rules and the checkpoint has some.
std::vector<std::string> rules_in_graph(const BundleRequest& request);
// The pairs of the decoder's cache: its layers, and with rules one more.
int64_t cached_pairs(const BundleRequest& request);

// Declares the past of the ids, past_key_values.{layers}.key and .value; nothing without rules.
std::optional<KeyValue> past_ids_input(const BundleRequest& request,
                                       Graph& graph,
                                       CacheKind kind = CacheKind::kOnly);

// `ids`, int64 [batch, positions], are those of this call at all of its positions, below 0 where a position
// has none that rules see. The logits become those behind the rules; returns the present of the ids.
KeyValue add_rules(const BundleRequest& request,
                   const Builder& b,
                   const KeyValue& past_ids,
                   const Value& ids,
                   DecoderOutput& output);
// Where the decoder gets embeddings alone, ids travel in columns behind them (blocks/cached_ids.h): those of embed_tokens have
// the text's ids, those of the image's features the image token's. Clients write features over embeddings row by row
// and look at no width.
int64_t embeds_width(const BundleRequest& request);
// What embed_tokens or, with the image token's id, an image encoder gives out. Without rules it is what it was.
Value mark_embeds(const BundleRequest& request,
                  const Builder& b,
                  const Value& embeddings,
                  const Value& ids);
Value mark_image(const BundleRequest& request,
                 const Builder& b,
                 const Value& features,
                 int64_t image_token_id);

// Declares it. Behind all other outputs: clients take logits as the first.
void declare_ids(const BundleRequest& request,
                 Graph& graph,
                 const KeyValue& present,
                 CacheKind kind = CacheKind::kOnly);

// Notes of a press with rules in the graph.
void note_rules_in_graph(const BundleRequest& request, std::vector<std::string>& notes);

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_GRAPH_RULES_H_
