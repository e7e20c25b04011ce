#include "bundles/parts.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "blocks/cached_ids.h"
#include "blocks/linear.h"
#include "blocks/shapes.h"
#include "bundles/graph_rules.h"
#include "checkpoint/generation_settings.h"

namespace lorapress {

Value pixel_input(const BundleRequest& request, Graph& graph) {
  const VisionConfig& vision = request.checkpoint.vision.value();
  return graph.input(kPixelValues,
                     DType::kF32,
                     {"batch_size", vision.num_channels, vision.image_size, vision.image_size});
}

Value vision_features(const BundleRequest& request,
                      const Builder& b,
                      WeightTaker& weights,
                      const Value& pixels) {
  const VisionConfig& vision = request.checkpoint.vision.value();
  return vision_family(vision.model_type).build(b, weights, vision, pixels);
}

int64_t image_token_width(const Checkpoint& checkpoint) {
  const TextConfig& text = checkpoint.text.value();
  return has_cross_attention(checkpoint) ? std::get<LayerNormLayers>(text.layers).cross_width
                                         : text.embedding_width();
}

Value image_tokens(const BundleRequest& request,
                   const Builder& b,
                   WeightTaker& weights,
                   const Value& features) {
  const Checkpoint& checkpoint = request.checkpoint;
  return checkpoint.projection ? project(b,
                                         weights,
                                         *checkpoint.projection,
                                         checkpoint.vision->feature_size(),
                                         image_token_width(checkpoint),
                                         features)
                               : features;
}

Graph author_image_encoder(const BundleRequest& request,
                           WeightTaker& weights,
                           const std::string& name,
                           const std::string& output,
                           std::optional<int64_t> image_token_id) {
  Graph graph(name, request.opset);
  const Builder b{graph, request.ops};
  Value tokens = image_tokens(
      request, b, weights, vision_features(request, b, weights, pixel_input(request, graph)));
  int64_t width = image_token_width(request.checkpoint);
  if (image_token_id) {
    tokens = mark_image(request, b, tokens, *image_token_id);
    width = embeds_width(request);
  }
  graph.output(tokens, output, {"batch_size", request.checkpoint.image_positions(), width});
  return graph;
}

std::vector<KeyValue> past_inputs(const BundleRequest& request, Graph& graph, CacheKind kind) {
  const TextConfig& text = request.checkpoint.text.value();
  const Dims dims{"batch_size",
                  text.num_key_value_heads,
                  kind == CacheKind::kEncoder ? "past_encoder_length" : "past_sequence_length",
                  text.head_dim};
  std::vector<KeyValue> past;
  for (int64_t layer = 0; layer < text.num_hidden_layers; ++layer) {
    const auto input = [&](CachePart part) {
      return graph.input(cache_port(CacheSide::kPast, layer, part, kind), DType::kF32, dims);
    };
    past.push_back({input(CachePart::kKey), input(CachePart::kValue)});
  }
  return past;
}

//  zeros [1, kv_heads, 0, head_dim] ── Expand [batch, 1, 1, 1] ── one cache for all layers
std::vector<KeyValue> empty_past(const BundleRequest& request,
                                 const Builder& b,
                                 const Value& rows) {
  const TextConfig& text = request.checkpoint.text.value();
  const Value nothing = b.graph.initializer(
      "/empty_cache/zeros", zeros(DType::kF32, {1, text.num_key_value_heads, 0, text.head_dim}));
  const Value one = b.graph.integers({1});
  const Value batch = length_of(b, "/empty_cache/batch_size", rows, 0);
  const Value empty = filled(b, "/empty_cache", nothing, {batch, one, one, one});
  return std::vector<KeyValue>(static_cast<size_t>(text.num_hidden_layers), {empty, empty});
}

void declare_outputs(const BundleRequest& request, Graph& graph, const DecoderOutput& output) {
  const TextConfig& text = request.checkpoint.text.value();
  const Dim length = request.trainer_names ? Dim("logits_length") : Dim(1);
  graph.output(output.logits, kLogits, {"batch_size", length, text.vocab_size});
  const auto declare = [&](const std::vector<KeyValue>& caches,
                           CacheKind kind,
                           const char* length) {
    const Dims dims{"batch_size", text.num_key_value_heads, length, text.head_dim};
    for (int64_t layer = 0; const KeyValue& cache : caches) {
      graph.output(cache.key, cache_port(CacheSide::kPresent, layer, CachePart::kKey, kind), dims);
      graph.output(
          cache.value, cache_port(CacheSide::kPresent, layer, CachePart::kValue, kind), dims);
      ++layer;
    }
  };
  declare(output.present,
          output.cross.empty() ? CacheKind::kOnly : CacheKind::kDecoder,
          "total_sequence_length");
  declare(output.cross, CacheKind::kEncoder, "encoder_length");
}

Graph author_embeds_decoder(const BundleRequest& request,
                            WeightTaker& weights,
                            const std::string& name) {
  const TextConfig& text = request.checkpoint.text.value();
  const TextFamily& family = text_family(text.model_type);
  Graph graph(name, request.opset);
  const Builder b{graph, request.ops};
  const Value embeddings = graph.input(
      kInputsEmbeds, DType::kF32, {"batch_size", "sequence_length", embeds_width(request)});
  const std::vector<KeyValue> past = past_inputs(request, graph);
  const std::optional<KeyValue> past_ids = past_ids_input(request, graph);
  Value table;  // only where the head is tied to the embedding table
  if (text.tie_word_embeddings) {
    table = family.table(b, weights, text);
  }
  if (!past_ids) {
    declare_outputs(request, graph, family.decode(b, weights, text, {table, embeddings, past}));
    return graph;
  }
  const MarkedEmbeddings call =
      split_id_columns(b, "/rules/call", embeddings, text.embedding_width());
  DecoderOutput output = family.decode(b, weights, text, {table, call.embeddings, past});
  const KeyValue present = add_rules(request, b, *past_ids, call.ids, output);
  declare_outputs(request, graph, output);
  declare_ids(request, graph, present);
  return graph;
}

namespace {

// The image's placeholder may have an id behind the table; the client replaces its row by image
// features, so any row will do:  ids ── Min(vocab - 1) ── Gather(table)
Graph author_embedding(const BundleRequest& request, WeightTaker& weights) {
  const TextConfig& text = request.checkpoint.text.value();
  Graph graph("embed_tokens", request.opset);
  const Builder b{graph, request.ops};
  const Value ids = graph.input(kInputIds, DType::kI64, {"batch_size", "sequence_length"});
  const Value table = text_family(text.model_type).table(b, weights, text);
  const Value known = graph.op("Min", "/embed/known", {ids, graph.integer(text.vocab_size - 1)});
  graph.output(mark_embeds(request, b, embed(b, "/embed", table, known), ids),
               kInputsEmbeds,
               {"batch_size", "sequence_length", embeds_width(request)});
  return graph;
}

}  // namespace

void add_embeds_graphs(const BundleRequest& request,
                       WeightTaker& weights,
                       std::vector<BundleGraph>& made) {
  made.push_back({"embed_tokens", "onnx/embed_tokens", author_embedding(request, weights)});
  made.push_back({"decoder_model_merged",
                  "onnx/decoder_model_merged",
                  author_embeds_decoder(request, weights, "decoder_model_merged")});
}

void finish_weights(const BundleRequest& request,
                    WeightTaker& weights,
                    std::vector<std::string>& notes) {
  std::span<const std::string_view> unused;
  if (request.checkpoint.vision) {
    unused = vision_family(request.checkpoint.vision->model_type).unused_prefixes;
  }
  for (const std::string_view prefix : unused) {
    if (const uint64_t bytes = weights.drop(std::string(prefix)); bytes != 0) {
      notes.push_back(fmt::format("{}* left out: {} bytes that nothing here uses", prefix, bytes));
    }
  }
  weights.finish({""});
}

Json eos_json(const SpecialTokens& tokens) {
  return tokens.eos_token_ids.size() == 1 ? Json(tokens.eos_token_ids[0])
                                          : Json(tokens.eos_token_ids);
}

int64_t min_new_tokens(const BundleRequest& request) {
  const GenerationSettings& settings = request.tokenizer.generation.settings;
  const int64_t before = request.checkpoint.positions_before();
  return settings.min_new_tokens.value_or(
      std::max<int64_t>(0, settings.min_length.value_or(0) - before));
}

namespace {

// Lengths in the checkpoint's file count image tokens or the start token; no client counts them.
void write_lengths_behind_image(const BundleRequest& request, Json& json) {
  json.erase("max_length");
  json.erase("min_length");
  json.erase("min_new_tokens");
  if (const int64_t least = min_new_tokens(request); least > 0) {
    json["min_new_tokens"] = least;
  }
  json["max_new_tokens"] = request.max_new_tokens;
}

// Of a decoder alone they count the prompt, as in every client.
void write_lengths_of_text(const BundleRequest& request, Json& json) {
  const GenerationSettings& settings = request.tokenizer.generation.settings;
  json.erase("max_length");
  json.erase("max_new_tokens");
  if (settings.max_length) {
    json["max_length"] = *settings.max_length;
  } else {
    json["max_new_tokens"] = request.max_new_tokens;
  }
}

}  // namespace

Json generation_config(const BundleRequest& request) {
  const SpecialTokens& tokens = request.tokenizer.tokens;
  const GenerationConfig& generation = request.tokenizer.generation;
  Json json = generation.kept;
  if (request.checkpoint.vision) {
    write_lengths_behind_image(request, json);
    json["decoder_start_token_id"] = tokens.decoder_start_token_id;
  } else {
    write_lengths_of_text(request, json);
  }
  json.erase("bad_words_ids");
  if (const auto& words = generation.settings.bad_words_ids) {
    const auto kept = without_end_words(*words, tokens.eos_token_ids);
    if (!kept.empty()) {  // no client takes an empty list
      json["bad_words_ids"] = kept;
    }
  }
  for (const std::string& rule : rules_in_graph(request)) {
    json.erase(rule);  // clients would apply it a second time
  }
  json["eos_token_id"] = eos_json(tokens);
  json["bos_token_id"] = tokens.bos_token_id;
  json["pad_token_id"] = tokens.pad_token_id;
  return json;
}

void note_not_followed(const BundleRequest& request,
                       const std::string& client,
                       const std::vector<std::string>& keys,
                       std::vector<std::string>& notes) {
  const Json settings = generation_settings_json(request.tokenizer.generation.settings);
  std::vector<std::string> set;
  std::ranges::copy_if(keys, std::back_inserter(set), [&](const std::string& key) {
    return settings.contains(key);
  });
  if (!set.empty()) {
    notes.push_back(fmt::format("{} does not follow {}", client, fmt::join(set, ", ")));
  }
}

void note_transformers_js(const BundleRequest& request, std::vector<std::string>& notes) {
  note_not_followed(request,
                    "stock transformers.js",
                    {"num_beams", "length_penalty", "early_stopping", "top_p"},
                    notes);
  note_not_followed(request, "stock transformers.js below 4", {"suppress_tokens"}, notes);
  if (request.checkpoint.vision && !has_cross_attention(request.checkpoint) &&
      request.tokenizer.generation.settings.forced_bos_token_id) {
    notes.emplace_back(
        "forced_bos_token_id: stock transformers.js forces the first token; generate() behind "
        "image embeddings, and what is here, the second");
  }
}

std::map<std::string, Json> plain_files(const BundleRequest& request,
                                        const std::map<std::string, int>& /*data_files*/) {
  return {{"generation_config.json", generation_config(request)},
          {"preprocessor_config.json", preprocessor_config(request.preprocessing)}};
}

Json runtime_config(const BundleRequest& request, const std::map<std::string, int>& data_files) {
  Json runtime = {{"dtype", request.default_dtype}};
  // Version 4 reads the cache's type from the graph, version 3 from here.
  for (const std::string& dtype : request.half_cache_dtypes) {
    runtime["kv_cache_dtype"][dtype] = "float16";
  }
  Json external = Json::object();
  for (const auto& [file, count] : data_files) {
    if (count > 0) {
      external[file] = count;
    }
  }
  if (!external.empty()) {
    runtime["use_external_data_format"] = external;
  }
  return runtime;
}

}  // namespace lorapress
