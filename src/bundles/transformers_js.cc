// Bundle "transformers.js": the vision-encoder-decoder layout that the unmodified
// pipeline('image-to-text') of transformers.js 3.8 and 4.3 runs, and 2.17 with --ops standard.
//
//   config.json  generation_config.json  preprocessor_config.json  tokenizer.json  tokenizer_config.json
//   onnx/encoder_model<suffix>.onnx         pixel_values -> last_hidden_state (projected image tokens)
//   onnx/decoder_model_merged<suffix>.onnx  input_ids, encoder_hidden_states, past -> logits, present
//
// A decoder with cross attention has a second cache, of the encoder's keys and values: empty in the
// first call, whose present is the past of all further calls.

#include <algorithm>

#include "base/fail.h"
#include "blocks/linear.h"
#include "blocks/shapes.h"
#include "bundles/graph_rules.h"
#include "bundles/parts.h"

namespace lorapress {
namespace {

// bool [1]: whether the cache is empty.
Value is_first_call(const Builder& b, const Value& past_key) {
  const Value past = length_of(b, "/prefix/past_length", past_key, 2);
  return b.graph.op("Equal", "/prefix/first", {past, b.graph.integers({0})});
}

Value choose(const Builder& b,
             const std::string& name,
             const Value& first,
             int64_t then,
             int64_t otherwise) {
  return b.graph.op(
      "Where", name, {first, b.graph.integers({then}), b.graph.integers({otherwise})});
}

// x [batch, positions, ...] of the call's ids, without the start token in the first call.
Value behind_start(const Builder& b, const std::string& scope, const Value& x, const Value& first) {
  return b.graph.op("Slice",
                    scope + "/text",
                    {x,
                     choose(b, scope + "/text_start", first, 1, 0),
                     b.graph.integers({INT32_MAX}),
                     b.graph.integers({1})});
}

// The first call (empty cache) puts the image tokens before the text and drops the start token that
// the client begins with; later calls see only the new tokens. Branch-free:
//
//   x = Concat(encoder_hidden_states[:, 0 : first ? N : 0], embeddings[:, first ? 1 : 0 :])
Value prefixed_embeddings(const Builder& b,
                          const Value& image,
                          const Value& embeddings,
                          const Value& first,
                          int64_t image_tokens) {
  Graph& graph = b.graph;
  const std::string scope = "/prefix";
  const Value kept = graph.op("Slice",
                              scope + "/image",
                              {image,
                               graph.integers({0}),
                               choose(b, scope + "/image_end", first, image_tokens, 0),
                               graph.integers({1})});
  return graph.op("Concat",
                  scope + "/Concat",
                  {kept, behind_start(b, scope, embeddings, first)},
                  {{"axis", int64_t{1}}});
}

// The ids that generate(inputs_embeds=...) sees at the positions of the call: those of later calls. Image and
// prompt are -1.
//
//   Concat(-1 [batch, first ? N : 0], first ? -1 : ids[:, first ? 1 : 0 :])
Value generated_ids(const Builder& b, const Value& ids, const Value& first, int64_t image_tokens) {
  Graph& graph = b.graph;
  const std::string scope = "/rules/call";
  const Value none = graph.integer(-1);
  const Value image = filled(b,
                             scope + "/image",
                             none,
                             {length_of(b, scope + "/batch_size", ids, 0),
                              choose(b, scope + "/image_end", first, image_tokens, 0)});
  const Value text =
      graph.op("Where", scope + "/seen", {first, none, behind_start(b, scope, ids, first)});
  return graph.op("Concat", scope + "/Concat", {image, text}, {{"axis", int64_t{1}}});
}

Graph author_decoder(const BundleRequest& request, WeightTaker& weights) {
  const TextConfig& text = request.checkpoint.text.value();
  const TextFamily& family = text_family(text.model_type);
  const int64_t image_tokens = request.checkpoint.vision.value().tokens();
  Graph graph("decoder_model_merged", request.opset);
  const Builder b{graph, request.ops};
  const Value ids = graph.input(kInputIds, DType::kI64, {"batch_size", "sequence_length"});
  const Value image = graph.input(
      kEncoderHiddenStates, DType::kF32, {"batch_size", image_tokens, text.embedding_width()});
  const std::vector<KeyValue> past = past_inputs(request, graph);
  const Value table = family.table(b, weights, text);
  const Value embeddings = embed(b, "/decoder/embed_tokens", table, ids);
  const Value first = is_first_call(b, past[0].key);
  const Value x = prefixed_embeddings(b, image, embeddings, first, image_tokens);
  const std::optional<KeyValue> past_ids = past_ids_input(request, graph);
  DecoderOutput output = family.decode(b, weights, text, {table, x, past});
  std::optional<KeyValue> present_ids;
  if (past_ids) {
    const Value seen = generated_ids(b, ids, first, image_tokens);
    present_ids = add_rules(request, b, *past_ids, seen, output);
  }
  declare_outputs(request, graph, output);
  if (present_ids) {
    declare_ids(request, graph, *present_ids);
  }
  return graph;
}

Graph author_cross_decoder(const BundleRequest& request, WeightTaker& weights) {
  const Checkpoint& checkpoint = request.checkpoint;
  const TextConfig& text = checkpoint.text.value();
  const TextFamily& family = text_family(text.model_type);
  Graph graph("decoder_model_merged", request.opset);
  const Builder b{graph, request.ops};
  const Value ids = graph.input(kInputIds, DType::kI64, {"batch_size", "sequence_length"});
  const Value states =
      graph.input(kEncoderHiddenStates,
                  DType::kF32,
                  {"batch_size", checkpoint.image_positions(), image_token_width(checkpoint)});
  const std::vector<KeyValue> past = past_inputs(request, graph, CacheKind::kDecoder);
  const std::vector<KeyValue> cross = past_inputs(request, graph, CacheKind::kEncoder);
  const Value table = family.table(b, weights, text);
  const Value embeddings = embed(b, "/decoder/embed_tokens", table, ids);
  const std::optional<KeyValue> past_ids = past_ids_input(request, graph, CacheKind::kDecoder);
  DecoderOutput output =
      family.decode(b, weights, text, {table, embeddings, past, ids, {states, cross}});
  std::optional<KeyValue> present_ids;
  if (past_ids) {
    present_ids = add_rules(request, b, *past_ids, ids, output);
  }
  declare_outputs(request, graph, output);
  if (present_ids) {
    declare_ids(request, graph, *present_ids, CacheKind::kDecoder);
  }
  return graph;
}

bool starts_with_an_end(const SpecialTokens& tokens) {
  return std::ranges::find(tokens.eos_token_ids, tokens.decoder_start_token_id) !=
         tokens.eos_token_ids.end();
}

std::vector<BundleGraph> transformers_js_graphs(const BundleRequest& request,
                                                std::vector<std::string>& notes) {
  note_transformers_js(request, notes);
  note_rules_in_graph(request, notes);
  const bool cross = has_cross_attention(request.checkpoint);
  if (const GenerationSettings& settings = request.tokenizer.generation.settings;
      !cross && settings.repetition_penalty && !request.rules_in_graph &&
      starts_with_an_end(request.tokenizer.tokens)) {
    notes.push_back(fmt::format(
        "repetition_penalty: stock transformers.js counts its start token {} as generated, which "
        "is an end token here, as the checkpoint has no other special one",
        request.tokenizer.tokens.decoder_start_token_id));
  }
  WeightTaker weights(request.checkpoint);
  std::vector<BundleGraph> made;
  made.push_back({"encoder",
                  "onnx/encoder_model",
                  author_image_encoder(request, weights, "encoder_model", kLastHiddenState)});
  made.push_back(
      {"decoder",
       "onnx/decoder_model_merged",
       cross ? author_cross_decoder(request, weights) : author_decoder(request, weights)});
  finish_weights(request, weights, notes);
  return made;
}

// The block is only read for the names and shapes of the cache. Declaring gpt2 with n_head = key/value
// heads and n_embd = heads * head_dim is what makes one file serve versions 2, 3 and 4; of the decoders
// whose cross attention has a cache of its own, all three know trocr.
Json decoder_block(const BundleRequest& request) {
  const TextConfig& text = request.checkpoint.text.value();
  Json block{{"vocab_size", text.vocab_size}, {"is_decoder", true}, {"add_cross_attention", true}};
  if (has_cross_attention(request.checkpoint)) {
    block.update({{"model_type", "trocr"},
                  {"decoder_layers", cached_pairs(request)},
                  {"decoder_attention_heads", text.num_key_value_heads},
                  {"d_model", text.num_key_value_heads * text.head_dim}});
  } else {
    block.update({{"model_type", "gpt2"},
                  {"n_layer", cached_pairs(request)},
                  {"n_head", text.num_key_value_heads},
                  {"n_embd", text.num_key_value_heads * text.head_dim}});
  }
  return block;
}

Json encoder_decoder_config(const BundleRequest& request,
                            const std::map<std::string, int>& data_files) {
  const SpecialTokens& tokens = request.tokenizer.tokens;
  return {{"model_type", "vision-encoder-decoder"},
          {"architectures", {"VisionEncoderDecoderModel"}},
          {"is_encoder_decoder", true},
          {"encoder", {{"model_type", request.checkpoint.vision->model_type}}},
          {"decoder", decoder_block(request)},
          {"decoder_start_token_id", tokens.decoder_start_token_id},
          {"eos_token_id", tokens.eos_token_ids[0]},
          {"bos_token_id", tokens.bos_token_id},
          {"pad_token_id", tokens.pad_token_id},
          {"transformers.js_config", runtime_config(request, data_files)}};
}

// transformers.js knows no BlipImageProcessor; ViT's takes the same steps.
Json known_preprocessor_config(const BundleRequest& request) {
  Json json = preprocessor_config(request.preprocessing);
  if (json.at("image_processor_type") == "BlipImageProcessor") {
    json["image_processor_type"] = "ViTImageProcessor";
  }
  return json;
}

std::map<std::string, Json> transformers_js_files(const BundleRequest& request,
                                                  const std::map<std::string, int>& data_files) {
  return {{"config.json", encoder_decoder_config(request, data_files)},
          {"generation_config.json", generation_config(request)},
          {"preprocessor_config.json", known_preprocessor_config(request)}};
}

}  // namespace

const Bundle kTransformersJs{
    "transformers.js",
    "encoder and decoder for pipeline('image-to-text') of unmodified transformers.js 3.8 and 4.3 "
    "(2.17: with ops standard)",
    false,
    accepts_prefix_or_cross,
    transformers_js_graphs,
    transformers_js_files,
    RulesInGraph::kOnRequest,
};

}  // namespace lorapress
