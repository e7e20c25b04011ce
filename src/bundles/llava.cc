// Bundle "llava": for AutoProcessor and AutoModelForImageTextToText of unmodified transformers.js
// 3.8 and 4.3, with text before and after the image.
//
//   config.json  generation_config.json  preprocessor_config.json  processor_config.json
//   tokenizer.json (with the token <image>)  tokenizer_config.json
//   onnx/vision_encoder<suffix>.onnx        pixel_values -> image_features
//   onnx/embed_tokens<suffix>.onnx          input_ids -> inputs_embeds
//   onnx/decoder_model_merged<suffix>.onnx  inputs_embeds, past -> logits, present

#include "base/fail.h"
#include "bundles/graph_rules.h"
#include "bundles/image_token.h"
#include "bundles/parts.h"

namespace lorapress {
namespace {

std::vector<BundleGraph> llava_graphs(const BundleRequest& request,
                                      std::vector<std::string>& notes) {
  note_transformers_js(request, notes);
  note_rules_in_graph(request, notes);
  const ImageToken token = image_token(request.checkpoint, request.tokenizer);
  if (token.dropped_post_processor) {
    notes.emplace_back(
        "tokenizer.json: the post-processor that adds special tokens is left out, so that a prompt "
        "is its own tokens");
  }
  WeightTaker weights(request.checkpoint);
  std::vector<BundleGraph> made;
  made.push_back(
      {"vision_encoder",
       "onnx/vision_encoder",
       author_image_encoder(request, weights, "vision_encoder", kImageFeatures, token.id)});
  add_embeds_graphs(request, weights, made);
  finish_weights(request, weights, notes);
  return made;
}

Json llava_config(const BundleRequest& request,
                  int64_t image_id,
                  const std::map<std::string, int>& data_files) {
  const TextConfig& text = request.checkpoint.text.value();
  const SpecialTokens& tokens = request.tokenizer.tokens;
  return {{"model_type", "llava"},
          {"architectures", {"LlavaForConditionalGeneration"}},
          {"image_token_index", image_id},
          {"image_token_id", image_id},
          {"vision_config", {{"model_type", request.checkpoint.vision->model_type}}},
          {"text_config",
           {{"model_type", text.model_type},
            {"hidden_size", text.hidden_size},
            {"num_hidden_layers", cached_pairs(request)},
            {"num_attention_heads", text.num_attention_heads},
            {"num_key_value_heads", text.num_key_value_heads},
            {"head_dim", text.head_dim},
            {"n_layer", cached_pairs(request)},  // for gpt2, whose keys the client reads
            {"n_head", text.num_attention_heads},
            {"n_embd", text.hidden_size},
            {"vocab_size", text.vocab_size},
            {"eos_token_id", eos_json(tokens)},
            {"bos_token_id", tokens.bos_token_id}}},
          {"eos_token_id", eos_json(tokens)},
          {"bos_token_id", tokens.bos_token_id},
          {"pad_token_id", tokens.pad_token_id},
          {"transformers.js_config", runtime_config(request, data_files)}};
}

std::map<std::string, Json> llava_files(const BundleRequest& request,
                                        const std::map<std::string, int>& data_files) {
  const ImageToken token = image_token(request.checkpoint, request.tokenizer);
  const VisionConfig& vision = request.checkpoint.vision.value();
  Json preprocessor = preprocessor_config(request.preprocessing);
  preprocessor["processor_class"] = "LlavaProcessor";
  return {{"config.json", llava_config(request, token.id, data_files)},
          {"generation_config.json", generation_config(request)},
          {"preprocessor_config.json", preprocessor},
          {"processor_config.json",
           {{"processor_class", "LlavaProcessor"},
            {"image_token", kImageToken},
            {"patch_size", vision.patch_size},
            // transformers.js knows no strategy: the tokens beside the patches that are left.
            {"vision_feature_select_strategy", "full"},
            {"num_additional_image_tokens", vision.tokens() - vision.patches()}}},
          {"tokenizer.json", token.tokenizer}};
}

bool accepts_llava(const Checkpoint& checkpoint) {
  return accepts_prefix(checkpoint) ||
         (checkpoint.composite != nullptr && checkpoint.composite->model_type == "llava");
}

}  // namespace

const Bundle kLlava{
    "llava",
    "vision encoder, embeddings and decoder for AutoModelForImageTextToText of transformers.js 3.8 "
    "and 4.3: text before and after the image",
    false,
    accepts_llava,
    llava_graphs,
    llava_files,
    RulesInGraph::kOnRequest,
};

}  // namespace lorapress
