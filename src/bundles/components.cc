// Bundle "components": the four graphs that the trainer exports, under its names, for whoever wires
// the generation loop by hand.
//
//   vision_encoder/model<suffix>.onnx  pixel_values -> vision_hidden_states
//   projection<suffix>.onnx            vision_hidden_states -> projected_prefix
//   prefix_init<suffix>.onnx           prefix_embeddings, (input_ids) -> logits, present.{i}.key/value
//   language_model/model<suffix>.onnx  input_ids, past_key_values.{i}.key/value -> logits, present
//   language_model/model<suffix>.onnx_data   the weights of the last two, once
//   tokenizer.json and the files beside it, generation_config.json, preprocessor_config.json
//
// With trainer_names every input and output is that of the trainer's export_prefix_vlm.py (pooler_output
// apart): input_ids is demanded, logits are those of all positions, the vision encoder's output is
// last_hidden_state, and the language model takes attention_mask and position_ids.
//
// prefix_init and the language model are the same decoder with different inputs. Their weights lie
// in one external data file, which both name relative to their own folder.

#include "blocks/linear.h"
#include "blocks/shapes.h"
#include "bundles/parts.h"
#include "bundles/refuse_inputs.h"

namespace lorapress {
namespace {

constexpr const char* kLanguageModel = "language_model/model";

Graph author_vision(const BundleRequest& request, WeightTaker& weights) {
  const VisionConfig& vision = request.checkpoint.vision.value();
  Graph graph("vision_encoder", request.opset);
  const Builder b{graph, request.ops};
  graph.output(vision_features(request, b, weights, pixel_input(request, graph)),
               request.trainer_names ? "last_hidden_state" : "vision_hidden_states",
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

// The prompt's ids, int64 [batch or 1, text_length]. The trainer's own graph demands them; otherwise
// they may be left out, and then they are none.
Value prompt_ids(const BundleRequest& request, Graph& graph) {
  const Dims dims{"text_batch_size", "text_length"};
  return request.trainer_names ? graph.input(kInputIds, DType::kI64, dims)
                               : graph.optional_input(kInputIds, dims, zeros(DType::kI64, {1, 0}));
}

//  input_ids ── embed ── Expand [batch, 1, 1] ──┐
//  prefix_embeddings ───────────────────────── Concat ── [batch, prefix and text, hidden]
Value behind_prefix(const Builder& b, const Value& prefix, const Value& text) {
  Graph& graph = b.graph;
  const Value one = graph.integers({1});
  const Value dims = graph.op("Concat",
                              "/prompt/dims",
                              {length_of(b, "/prompt/batch_size", prefix, 0), one, one},
                              {{"axis", int64_t{0}}});
  const Value rows = graph.op("Expand", "/prompt/Expand", {text, dims});
  return graph.op("Concat", "/prompt/Concat", {prefix, rows}, {{"axis", int64_t{1}}});
}

Graph author_prefix_init(const BundleRequest& request, WeightTaker& weights) {
  const TextConfig& text = request.checkpoint.text.value();
  const TextFamily& family = text_family(text.model_type);
  Graph graph("prefix_init", request.opset);
  const Builder b{graph, request.ops};
  const Value prefix = graph.input(
      "prefix_embeddings", DType::kF32, {"batch_size", "prefix_length", text.embedding_width()});
  const Value ids = prompt_ids(request, graph);
  const Value table = family.table(b, weights, text);
  const Value embeddings = behind_prefix(b, prefix, embed(b, "/prompt/embed_tokens", table, ids));
  DecoderInputs inputs{table, embeddings, empty_past(request, b, prefix)};
  inputs.all_logits = request.trainer_names;
  declare_outputs(request, graph, family.decode(b, weights, text, inputs));
  return graph;
}

// With the trainer's names as optimum's text-generation-with-past exports it: attention_mask and
// position_ids are inputs, and are refused where they are not those of one whole sequence.
Graph author_language_model(const BundleRequest& request, WeightTaker& weights) {
  const TextConfig& text = request.checkpoint.text.value();
  const TextFamily& family = text_family(text.model_type);
  Graph graph("language_model", request.opset);
  const Builder b{graph, request.ops};
  const Dims sequence{"batch_size", "sequence_length"};
  const Value ids = graph.input(kInputIds, DType::kI64, sequence);
  Value mask;
  Value positions;
  if (request.trainer_names) {
    mask = graph.input(kAttentionMask, DType::kI64, {"batch_size", "mask_length"});
    positions = graph.input("position_ids", DType::kI64, sequence);
  }
  const std::vector<KeyValue> past = past_inputs(request, graph);
  const Value table = family.table(b, weights, text);
  Value embeddings = embed(b, "/decoder/embed_tokens", table, ids);
  if (request.trainer_names) {
    embeddings = refuse_padding(b, embeddings, mask);
    embeddings = refuse_other_positions(b, embeddings, positions, past.at(0).key);
  }
  DecoderInputs inputs{table, embeddings, past};
  inputs.all_logits = request.trainer_names;
  declare_outputs(request, graph, family.decode(b, weights, text, inputs));
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
    RulesInGraph::kNever,
    true,
};

}  // namespace lorapress
