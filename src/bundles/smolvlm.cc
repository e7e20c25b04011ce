// Bundle "smolvlm": Idefics3, SmolVLM and SmolVLM2 for AutoProcessor and AutoModelForImageTextToText
// of unmodified transformers.js 3.8 and 4.3.
//
//   config.json  generation_config.json  preprocessor_config.json  processor_config.json
//   tokenizer.json  tokenizer_config.json  chat_template.jinja
//   onnx/vision_encoder<suffix>.onnx        pixel_values, pixel_attention_mask -> image_features
//   onnx/embed_tokens<suffix>.onnx          input_ids -> inputs_embeds
//   onnx/decoder_model_merged<suffix>.onnx  inputs_embeds, past -> logits, present

#include "base/fail.h"
#include "blocks/shapes.h"
#include "bundles/graph_rules.h"
#include "bundles/image_token.h"
#include "bundles/parts.h"
#include "checkpoint/config_fields.h"

namespace lorapress {
namespace {

bool accepts(const Checkpoint& checkpoint) {
  return checkpoint.composite != nullptr &&
         (checkpoint.composite->model_type == "smolvlm" ||
          checkpoint.composite->model_type == "idefics3") &&
         checkpoint.vision && vision_family(checkpoint.vision->model_type).build_masked != nullptr;
}

//  pixel_values [batch_size, num_images, 3, S, S] ── Reshape ── real ones ── tower ── connector ── image_features
//  pixel_attention_mask ── Reshape ── real ones ── a patch is seen where one of its pixels is ── the tower's patch mask
//
//  real ones: tiles ── Abs ── ReduceSum ── NonZero ── Reshape ── Gather's indices
// All tiles of all rows become one axis: image_features [tiles, image_seq_len, hidden]. Tiles of zeros
// fill up rows of images with fewer tiles and are left out, as in Idefics3Model.get_image_features.
Graph author_vision_encoder(const BundleRequest& request, WeightTaker& weights) {
  const VisionConfig& vision = request.checkpoint.vision.value();
  const int64_t size = vision.image_size;
  const int64_t patch = vision.patch_size;
  const int64_t grid = size / patch;
  Graph graph("vision_encoder", request.opset);
  const Builder b{graph, request.ops};
  const Value pixels = graph.input(
      kPixelValues, DType::kF32, {"batch_size", "num_images", vision.num_channels, size, size});
  const Value mask =
      graph.input(kPixelAttentionMask, DType::kBool, {"batch_size", "num_images", size, size});
  const auto reshape = [&](const std::string& name, const Value& x, std::vector<int64_t> dims) {
    return graph.op("Reshape", "/tiles/" + name, {x, graph.integers(dims)});
  };
  const Value all = reshape("pixels", pixels, {-1, vision.num_channels, size, size});
  const Value sums = graph.op("ReduceSum",
                              "/tiles/sums",
                              {graph.op("Abs", "/tiles/Abs", {all}), graph.integers({1, 2, 3})},
                              {{"keepdims", int64_t{0}}});
  const Value real = reshape("real", graph.op("NonZero", "/tiles/NonZero", {sums}), {-1});
  const auto real_ones = [&](const std::string& name, const Value& x) {
    return graph.op("Gather", "/tiles/real_" + name, {x, real}, {{"axis", int64_t{0}}});
  };
  const Value tiles = real_ones("pixels", all);
  Value seen = to_dtype(b, "/tiles/mask_numbers", mask, DType::kI32);
  seen = real_ones("mask", reshape("mask", seen, {-1, size, size}));
  if (grid * patch != size) {  // pixels behind the last patch
    seen = graph.op("Slice",
                    "/tiles/whole_patches",
                    {seen,
                     graph.integers({0, 0}),
                     graph.integers({grid * patch, grid * patch}),
                     graph.integers({1, 2})});
  }
  seen = reshape("patches", seen, {-1, grid, patch, grid, patch});
  seen = graph.op("ReduceSum",
                  "/tiles/patch_pixels",
                  {seen, graph.integers({2, 4})},
                  {{"keepdims", int64_t{0}}});
  const Value patch_mask = to_dtype(b, "/tiles/patch_mask", seen, DType::kBool);
  const Value features =
      vision_family(vision.model_type).build_masked(b, weights, vision, tiles, patch_mask);
  graph.output(mark_image(request,
                          b,
                          image_tokens(request, b, weights, features),
                          request.checkpoint.image_token_id),
               kImageFeatures,
               {"num_tiles", request.checkpoint.image_positions(), embeds_width(request)});
  return graph;
}

std::vector<BundleGraph> graphs(const BundleRequest& request, std::vector<std::string>& notes) {
  note_transformers_js(request, notes);
  note_rules_in_graph(request, notes);
  image_token(request.checkpoint, request.tokenizer);  // throws for a tokenizer of another model
  WeightTaker weights(request.checkpoint);
  std::vector<BundleGraph> made;
  made.push_back(
      {"vision_encoder", "onnx/vision_encoder", author_vision_encoder(request, weights)});
  add_embeds_graphs(request, weights, made);
  finish_weights(request, weights, notes);
  return made;
}

// The checkpoint's own config.json, with what transformers.js reads written out.
Json smolvlm_config(const BundleRequest& request, const std::map<std::string, int>& data_files) {
  const TextConfig& text = request.checkpoint.text.value();
  const SpecialTokens& tokens = request.tokenizer.tokens;
  Json config = request.checkpoint.config;
  config["architectures"] = {request.checkpoint.composite->architecture};
  config["vision_config"] = request.checkpoint.vision_json;
  config["vision_config"]["model_type"] = request.checkpoint.vision->model_type;
  config["text_config"] = request.checkpoint.text_json;
  config["text_config"].update({{"model_type", text.model_type},
                                {"hidden_size", text.hidden_size},
                                {"num_hidden_layers", cached_pairs(request)},
                                {"num_attention_heads", text.num_attention_heads},
                                {"num_key_value_heads", text.num_key_value_heads},
                                {"head_dim", text.head_dim},
                                {"vocab_size", text.vocab_size}});
  config["image_token_id"] = request.checkpoint.image_token_id;
  config["eos_token_id"] = eos_json(tokens);
  config["bos_token_id"] = tokens.bos_token_id;
  config["pad_token_id"] = tokens.pad_token_id;
  config["transformers.js_config"] = runtime_config(request, data_files);
  return config;
}

std::map<std::string, Json> files(const BundleRequest& request,
                                  const std::map<std::string, int>& data_files) {
  const std::string processor = request.checkpoint.composite->model_type == "smolvlm"
                                    ? "SmolVLMProcessor"
                                    : "Idefics3Processor";
  Json preprocessor = preprocessor_config(request.preprocessing);
  preprocessor["processor_class"] = processor;
  return {
      {"config.json", smolvlm_config(request, data_files)},
      {"generation_config.json", generation_config(request)},
      {"preprocessor_config.json", preprocessor},
      {"processor_config.json",
       {{"processor_class", processor}, {"image_seq_len", request.checkpoint.image_positions()}}}};
}

}  // namespace

const Bundle kSmolvlm{
    "smolvlm",
    "vision encoder, embeddings and decoder of Idefics3, SmolVLM and SmolVLM2 for "
    "AutoModelForImageTextToText of transformers.js 3.8 and 4.3",
    false,
    accepts,
    graphs,
    files,
    RulesInGraph::kOnRequest,
};

}  // namespace lorapress
