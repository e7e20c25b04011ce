// Bundle "components": the four graphs that the trainer exports, under its names, for whoever wires
// the generation loop by hand.
//
//   vision_encoder/model<suffix>.onnx  pixel_values -> vision_hidden_states
//   projection<suffix>.onnx            vision_hidden_states -> projected_prefix
//   prefix_init<suffix>.onnx           prefix_embeddings -> logits, present.{i}.key/value
//   language_model/model<suffix>.onnx  input_ids, past_key_values.{i}.key/value -> logits, present
//   language_model/model<suffix>.onnx_data   the weights of the last two, once
//   tokenizer.json and the files beside it, generation_config.json, preprocessor_config.json
//
// prefix_init and the language model are the same decoder with different inputs. Their weights lie
// in one external data file, which both name relative to their own folder.

#include "blocks/linear.h"
#include "bundles/parts.h"

namespace lorapress {
namespace {

constexpr const char* kLanguageModel = "language_model/model";

Graph author_vision(const BundleRequest& request, WeightTaker& weights) {
  const VisionConfig& vision = request.checkpoint.vision.value();
  Graph graph("vision_encoder", request.opset);
  const Builder b{graph, request.ops};
  graph.output(vision_features(request, b, weights, pixel_input(request, graph)),
               "vision_hidden_states",
               {"batch_size", vision.tokens(), vision.feature_size()});
  return graph;
}

Graph author_projection(const BundleRequest& request, WeightTaker& weights) {
  const VisionConfig& vision = request.checkpoint.vision.value();
  Graph graph("projection", request.opset);
  const Builder b{graph, request.ops};
  const Value features = graph.input(
      "vision_hidden_states", DType::kF32, {"batch_size", vision.tokens(), vision.feature_size()});
  graph.output(image_tokens(request, b, weights, features),
               "projected_prefix",
               {"batch_size", vision.tokens(), request.checkpoint.text->embedding_width()});
  return graph;
}

Graph author_prefix_init(const BundleRequest& request, WeightTaker& weights) {
  const TextConfig& text = request.checkpoint.text.value();
  const TextFamily& family = text_family(text.model_type);
  Graph graph("prefix_init", request.opset);
  const Builder b{graph, request.ops};
  const Value prefix = graph.input(
      "prefix_embeddings", DType::kF32, {"batch_size", "prefix_length", text.embedding_width()});
  const Value table = family.table(b, weights, text);
  declare_outputs(request,
                  graph,
                  family.decode(b, weights, text, {table, prefix, empty_past(request, b, prefix)}));
  return graph;
}

Graph author_language_model(const BundleRequest& request, WeightTaker& weights) {
  const TextConfig& text = request.checkpoint.text.value();
  const TextFamily& family = text_family(text.model_type);
  Graph graph("language_model", request.opset);
  const Builder b{graph, request.ops};
  const Value ids = graph.input(kInputIds, DType::kI64, {"batch_size", "sequence_length"});
  const std::vector<KeyValue> past = past_inputs(request, graph);
  const Value table = family.table(b, weights, text);
  const Value embeddings = embed(b, "/decoder/embed_tokens", table, ids);
  declare_outputs(request, graph, family.decode(b, weights, text, {table, embeddings, past}));
  return graph;
}

std::vector<BundleGraph> components_graphs(const BundleRequest& request,
                                           std::vector<std::string>& notes) {
  WeightTaker weights(request.checkpoint);
  std::vector<BundleGraph> made;
  made.push_back({"vision_encoder", "vision_encoder/model", author_vision(request, weights)});
  made.push_back({"projection", "projection", author_projection(request, weights)});
  made.push_back(
      {"language_model", kLanguageModel, author_language_model(request, weights), kLanguageModel});
  made.push_back(
      {"prefix_init", "prefix_init", author_prefix_init(request, weights), kLanguageModel});
  finish_weights(request, weights, notes);
  return made;
}

}  // namespace

const Bundle kComponents{
    "components",
    "the trainer's four graphs: vision encoder, projection, prefix_init and language model with "
    "past",
    false,
    accepts_prefix,
    components_graphs,
    plain_files,
};

}  // namespace lorapress
