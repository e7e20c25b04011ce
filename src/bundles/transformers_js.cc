// Bundle "transformers.js": the vision-encoder-decoder layout that the unmodified
// pipeline('image-to-text') of transformers.js 3.8 and 4.3 runs, and 2.17 with --ops standard.
//
//   config.json  generation_config.json  preprocessor_config.json  tokenizer.json  tokenizer_config.json
//   onnx/encoder_model<suffix>.onnx         pixel_values -> last_hidden_state (projected image tokens)
//   onnx/decoder_model_merged<suffix>.onnx  input_ids, encoder_hidden_states, past -> logits, present

#include <algorithm>

#include "base/fail.h"
#include "blocks/linear.h"
#include "bundles/parts.h"

namespace lorapress {
namespace {

// The first call (empty cache) puts the image tokens before the text and drops the start token that
// the client begins with; later calls see only the new tokens. Branch-free:
//
//   first   = past_length == 0
//   x       = Concat(encoder_hidden_states[:, 0 : first ? N : 0], embeddings[:, first ? 1 : 0 :])
Value prefixed_embeddings(const Builder& b,
                          const Value& image,
                          const Value& embeddings,
                          const Value& past_key,
                          int64_t image_tokens) {
  Graph& graph = b.graph;
  const std::string scope = "/prefix";
  const Value shape = graph.op("Shape", scope + "/past_shape", {past_key});
  const Value past = graph.op(
      "Gather", scope + "/past_length", {shape, graph.integers({2})}, {{"axis", int64_t{0}}});
  const Value first = graph.op("Equal", scope + "/first", {past, graph.integers({0})});
  const auto choose = [&](const std::string& name, int64_t then, int64_t otherwise) {
    return graph.op(
        "Where", scope + "/" + name, {first, graph.integers({then}), graph.integers({otherwise})});
  };
  const Value axis = graph.integers({1});
  const Value kept =
      graph.op("Slice",
               scope + "/image",
               {image, graph.integers({0}), choose("image_end", image_tokens, 0), axis});
  const Value text =
      graph.op("Slice",
               scope + "/text",
               {embeddings, choose("text_start", 1, 0), graph.integers({INT32_MAX}), axis});
  return graph.op("Concat", scope + "/Concat", {kept, text}, {{"axis", int64_t{1}}});
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
  const Value x = prefixed_embeddings(b, image, embeddings, past[0].key, image_tokens);
  const DecoderOutput output = family.decode(b, weights, text, {table, x, past});
  declare_outputs(request, graph, output);
  return graph;
}

bool starts_with_an_end(const SpecialTokens& tokens) {
  return std::ranges::find(tokens.eos_token_ids, tokens.decoder_start_token_id) !=
         tokens.eos_token_ids.end();
}

std::vector<BundleGraph> transformers_js_graphs(const BundleRequest& request,
                                                std::vector<std::string>& notes) {
  note_transformers_js(request, notes);
  if (const GenerationSettings& settings = request.tokenizer.generation.settings;
      settings.repetition_penalty && starts_with_an_end(request.tokenizer.tokens)) {
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
  made.push_back({"decoder", "onnx/decoder_model_merged", author_decoder(request, weights)});
  finish_weights(request, weights, notes);
  return made;
}

// Declaring gpt2 with n_head = key/value heads and n_embd = heads * head_dim is what makes one file
// serve versions 2, 3 and 4: the block is only read for the shape of the cache.
Json encoder_decoder_config(const BundleRequest& request,
                            const std::map<std::string, int>& data_files) {
  const TextConfig& text = request.checkpoint.text.value();
  const SpecialTokens& tokens = request.tokenizer.tokens;
  return {{"model_type", "vision-encoder-decoder"},
          {"architectures", {"VisionEncoderDecoderModel"}},
          {"is_encoder_decoder", true},
          {"encoder", {{"model_type", request.checkpoint.vision->model_type}}},
          {"decoder",
           {{"model_type", "gpt2"},
            {"n_layer", text.num_hidden_layers},
            {"n_head", text.num_key_value_heads},
            {"n_embd", text.num_key_value_heads * text.head_dim},
            {"vocab_size", text.vocab_size},
            {"is_decoder", true},
            {"add_cross_attention", true}}},
          {"decoder_start_token_id", tokens.decoder_start_token_id},
          {"eos_token_id", tokens.eos_token_ids[0]},
          {"bos_token_id", tokens.bos_token_id},
          {"pad_token_id", tokens.pad_token_id},
          {"transformers.js_config", runtime_config(request, data_files)}};
}

std::map<std::string, Json> transformers_js_files(const BundleRequest& request,
                                                  const std::map<std::string, int>& data_files) {
  return {{"config.json", encoder_decoder_config(request, data_files)},
          {"generation_config.json", generation_config(request)},
          {"preprocessor_config.json", preprocessor_config(request.preprocessing)}};
}

}  // namespace

const Bundle kTransformersJs{
    "transformers.js",
    "encoder and decoder for pipeline('image-to-text') of unmodified transformers.js 3.8 and 4.3 "
    "(2.17: with ops standard)",
    false,
    accepts_prefix,
    transformers_js_graphs,
    transformers_js_files,
};

}  // namespace lorapress
