// Bundle "genai": three graphs and a genai_config.json that onnxruntime-genai loads, as model type
// "phi3v": the type whose image placeholders are negative ids in input_ids and whose vision graph
// takes pixel_values of any shape.
//
//   genai_config.json  tokenizer.json  tokenizer_config.json  preprocessor_config.json
//   vision<suffix>.onnx     pixel_values -> image_features
//   embedding<suffix>.onnx  input_ids, image_features -> inputs_embeds
//   model<suffix>.onnx      inputs_embeds, past -> logits, present

#include <algorithm>

#include "blocks/linear.h"
#include "blocks/shapes.h"
#include "bundles/parts.h"
#include "checkpoint/generation_settings.h"
#include "schemes/scheme.h"

namespace lorapress {
namespace {

// The tokens of all images in one list: genai sizes the output by num_image_tokens.
Graph author_image(const BundleRequest& request, WeightTaker& weights) {
  const int64_t hidden = request.checkpoint.text->embedding_width();
  Graph graph("vision", request.opset);
  const Builder b{graph, request.ops};
  const Value features = vision_features(request, b, weights, pixel_input(request, graph));
  const Value tokens = image_tokens(request, b, weights, features);
  graph.output(graph.op("Reshape", "/flatten", {tokens, graph.integers({-1, hidden})}),
               kImageFeatures,
               {"num_image_tokens", hidden});
  return graph;
}

// Negative ids stand for image tokens, in their order over the whole batch. After the first call
// there are none and image_features is empty, so a row of zeros keeps the lookup in range:
//
//   ids ─┬─ Max(0) ── Gather(table) ─────────────────────────────────────────────┐
//        └─ Less(0) ─┬─ CumSum - 1 ── Gather(Concat(image_features, zeros)) ──── Where ── embeds
//                    └───────────────────────────────────────────────────────────┘
Graph author_joined_embedding(const BundleRequest& request, WeightTaker& weights) {
  const TextConfig& text = request.checkpoint.text.value();
  Graph graph("embedding", request.opset);
  const Builder b{graph, request.ops};
  const Value ids = graph.input(kInputIds, DType::kI64, {"batch_size", "sequence_length"});
  const Value features =
      graph.input(kImageFeatures, DType::kF32, {"num_image_tokens", text.embedding_width()});
  const Value table = text_family(text.model_type).table(b, weights, text);
  const Value words =
      embed(b, "/embed", table, graph.op("Max", "/embed/words", {ids, graph.integer(0)}));
  const Value is_image = graph.op("Less", "/image/is_image", {ids, graph.integer(0)});
  const Value ones = to_dtype(b, "/image/ones", is_image, DType::kI64);
  const Value flat = graph.op("Reshape", "/image/flat", {ones, graph.integers({-1})});
  const Value counted = graph.op("CumSum", "/image/CumSum", {flat, graph.integer(0)});
  const Value shape = graph.op("Shape", "/image/shape", {ids});
  const Value per_row = graph.op("Reshape", "/image/per_row", {counted, shape});
  const Value before = graph.op("Sub", "/image/before", {per_row, graph.integer(1)});
  const Value count = length_of(b, "/image/count", features, 0);
  const Value index = graph.op("Where", "/image/index", {is_image, before, count});
  const Value zeros_row =
      graph.initializer("/image/zeros", zeros(DType::kF32, {1, text.embedding_width()}));
  const Value rows =
      graph.op("Concat", "/image/rows", {features, zeros_row}, {{"axis", int64_t{0}}});
  const Value images = graph.op("Gather", "/image/Gather", {rows, index}, {{"axis", int64_t{0}}});
  const Value mask = graph.op("Unsqueeze", "/image/mask", {is_image, graph.integers({2})});
  graph.output(graph.op("Where", "/inputs_embeds", {mask, images, words}),
               kInputsEmbeds,
               {"batch_size", "sequence_length", text.embedding_width()});
  return graph;
}

// The "search" section of genai_config.json, in genai's meaning: only the lengths count the image's
// ids, since these are no tokens. genai's multi-modal pipeline has no beams.
Json search_json(const BundleRequest& request) {
  const GenerationSettings& settings = request.tokenizer.generation.settings;
  const int64_t image = request.checkpoint.vision->tokens();
  const int64_t positions = request.checkpoint.text->max_position_embeddings;
  Json search = {{"do_sample", settings.do_sample.value_or(false)},
                 {"num_beams", 1},
                 {"max_length", std::min(positions, image + request.max_new_tokens)},
                 {"past_present_share_buffer", false}};
  if (const int64_t least = min_new_tokens(request); least > 0) {
    search["min_length"] = std::min(positions, image + least);
  }
  const Json all = generation_settings_json(settings);
  for (const char* key :
       {"repetition_penalty", "no_repeat_ngram_size", "temperature", "top_k", "top_p"}) {
    if (all.contains(key)) {
      search[key] = all.at(key);
    }
  }
  return search;
}

std::vector<BundleGraph> genai_graphs(const BundleRequest& request,
                                      std::vector<std::string>& notes) {
  note_not_followed(request,
                    "onnxruntime-genai",
                    {"bad_words_ids",
                     "suppress_tokens",
                     "begin_suppress_tokens",
                     "forced_bos_token_id",
                     "forced_eos_token_id",
                     "num_beams"},
                    notes);
  WeightTaker weights(request.checkpoint);
  std::vector<BundleGraph> made;
  made.push_back({"vision", "vision", author_image(request, weights)});
  made.push_back({"embedding", "embedding", author_joined_embedding(request, weights)});
  made.push_back({"model", "model", author_embeds_decoder(request, weights, "model")});
  finish_weights(request, weights, notes);
  return made;
}

Json decoder_json(const BundleRequest& request, const std::string& suffix) {
  const TextConfig& text = request.checkpoint.text.value();
  return {{"session_options", {{"provider_options", Json::array()}}},
          {"filename", "model" + suffix + ".onnx"},
          {"head_size", text.head_dim},
          {"hidden_size", text.embedding_width()},
          {"num_attention_heads", text.num_attention_heads},
          {"num_key_value_heads", text.num_key_value_heads},
          {"num_hidden_layers", text.num_hidden_layers},
          {"inputs",
           {{kInputsEmbeds, kInputsEmbeds},
            {"past_key_names", cache_port(CacheSide::kPast, "%d", CachePart::kKey)},
            {"past_value_names", cache_port(CacheSide::kPast, "%d", CachePart::kValue)}}},
          {"outputs",
           {{kLogits, kLogits},
            {"present_key_names", cache_port(CacheSide::kPresent, "%d", CachePart::kKey)},
            {"present_value_names", cache_port(CacheSide::kPresent, "%d", CachePart::kValue)}}}};
}

Json config_json(const BundleRequest& request) {
  const TextConfig& text = request.checkpoint.text.value();
  const SpecialTokens& tokens = request.tokenizer.tokens;
  const std::string suffix(scheme(request.default_dtype).suffix);
  return {{"model",
           {{"type", "phi3v"},
            {"bos_token_id", tokens.bos_token_id},
            {"eos_token_id", eos_json(tokens)},
            {"pad_token_id", tokens.pad_token_id},
            {"vocab_size", text.vocab_size},
            {"context_length", text.max_position_embeddings},
            {"decoder", decoder_json(request, suffix)},
            {"embedding",
             {{"filename", "embedding" + suffix + ".onnx"},
              {"inputs", {{kInputIds, kInputIds}, {kImageFeatures, kImageFeatures}}},
              {"outputs", {{kInputsEmbeds, kInputsEmbeds}}}}},
            {"vision",
             {{"filename", "vision" + suffix + ".onnx"},
              {"inputs", {{kPixelValues, kPixelValues}}},
              {"outputs", {{kImageFeatures, kImageFeatures}}}}}}},
          {"search", search_json(request)}};
}

std::map<std::string, Json> genai_files(const BundleRequest& request,
                                        const std::map<std::string, int>& /*data_files*/) {
  return {{"genai_config.json", config_json(request)},
          {"preprocessor_config.json", preprocessor_config(request.preprocessing)}};
}

}  // namespace

const Bundle kGenai{
    "genai",
    "vision, embedding and decoder with a genai_config.json for onnxruntime-genai",
    false,
    accepts_prefix,
    genai_graphs,
    genai_files,
};

}  // namespace lorapress
