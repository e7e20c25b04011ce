// Bundle "single": one graph from pixels to token ids, generation loop included, for clients
// that run ONNX and nothing else; or, with --step, to the logits of the next token.
//
//   onnx/model<suffix>.onnx  pixel_values, max_new_tokens -> generated_ids
//                            image (with --uint8-input) in place of pixel_values
//                            pixel_values, input_ids -> logits (with --step)
//   tokenizer.json and the files beside it, generation_config.json, preprocessor_config.json

#include <algorithm>

#include "base/fail.h"
#include "blocks/generation.h"
#include "blocks/linear.h"
#include "blocks/pillow_resize.h"
#include "bundles/parts.h"

namespace lorapress {
namespace {

// The image's tokens [batch, patches, hidden] from the graph's own input.
Value author_prefix(const BundleRequest& request, const Builder& b, WeightTaker& weights) {
  const Preprocessing& settings = request.preprocessing;
  Value pixels;
  if (request.generation.uint8_input && settings.shortest_edge != 0) {
    fail(
        ErrorCode::kUnsupported,
        "options.uint8_input: the images of {} are resized to a shorter side of {} and their middle "
        "is cut out, which the graph does not do; leave the option out",
        request.checkpoint.folder.string(),
        settings.shortest_edge);
  }
  if (request.generation.uint8_input) {
    const Value image = b.graph.input("image", DType::kU8, {"height", "width", 3});
    const Value levels = pillow_resize(
        b,
        "/preprocess/resize",
        image,
        settings.height,
        settings.width,
        settings.resample == "bilinear" ? ResizeFilter::kBilinear : ResizeFilter::kBicubic);
    pixels = normalise_levels(b,
                              "/preprocess/normalise",
                              levels,
                              settings.rescale_factor,
                              settings.image_mean,
                              settings.image_std);
  } else {
    pixels = pixel_input(request, b.graph);
  }
  return image_tokens(request, b, weights, vision_features(request, b, weights, pixels));
}

//  max_new_tokens below 1 means the folder's setting; never more than the positions allow:
//  Min(Where(given < 1, default, given), positions - image tokens)
Value author_limit(const BundleRequest& request, const Builder& b) {
  Graph& graph = b.graph;
  const int64_t room =
      request.checkpoint.text->max_position_embeddings - request.checkpoint.vision->tokens();
  const Value given = graph.input("max_new_tokens", DType::kI64, {});
  const Value unset = graph.op("Less", "/limit/unset", {given, graph.integer(1)});
  const Value wanted =
      graph.op("Where", "/limit/wanted", {unset, graph.integer(request.max_new_tokens), given});
  return graph.op("Min", "/limit/Min", {wanted, graph.integer(room)});
}

void check_beams(const BundleRequest& request) {
  const auto ends = static_cast<int64_t>(request.tokenizer.tokens.eos_token_ids.size());
  const int64_t candidates = std::max<int64_t>(2, 1 + ends) * request.generation.num_beams;
  if (candidates > request.checkpoint.text->vocab_size) {
    fail(ErrorCode::kInvalidArgument,
         "options.num_beams {}: needs {} candidates, the vocabulary has {}; pass a lower one",
         request.generation.num_beams,
         candidates,
         request.checkpoint.text->vocab_size);
  }
}

LoopRules loop_rules(const BundleRequest& request) {
  const GenerationSettings& settings = request.tokenizer.generation.settings;
  const std::vector<int64_t> none;
  LoopRules rules;
  rules.history.repetition_penalty = settings.repetition_penalty.value_or(1.0);
  rules.history.no_repeat_ngram_size = settings.no_repeat_ngram_size.value_or(0);
  rules.min_new_tokens = min_new_tokens(request);
  rules.ends = request.tokenizer.tokens.eos_token_ids;
  rules.forced_second = settings.forced_bos_token_id;
  rules.forced_last = settings.forced_eos_token_id.value_or(none);
  rules.forbidden = settings.suppress_tokens.value_or(none);
  rules.forbidden_first = settings.begin_suppress_tokens.value_or(none);
  if (settings.bad_words_ids) {
    rules.history.bad_words = without_end_words(*settings.bad_words_ids, rules.ends);
  }
  return rules;
}

LoopBeams loop_beams(const BundleRequest& request) {
  const GenerationSettings& settings = request.tokenizer.generation.settings;
  return {request.generation.num_beams,
          settings.length_penalty.value_or(1.0),
          settings.early_stopping == EarlyStopping::kFirst,
          settings.early_stopping == EarlyStopping::kNever};
}

// A graph has no random numbers of its own that another runtime would repeat.
void note_left_out(const GenerationSettings& settings, std::vector<std::string>& notes) {
  if (settings.do_sample.value_or(false)) {
    notes.emplace_back("the loop inside the graph does not follow do_sample");
  }
}

Graph author_loop(const BundleRequest& request, WeightTaker& weights) {
  const TextConfig& text = request.checkpoint.text.value();
  const TextFamily& family = text_family(text.model_type);
  Graph graph("captioner", request.opset);
  const Builder b{graph, request.ops};
  Generation generation;
  generation.prefix = author_prefix(request, b, weights);
  generation.max_new_tokens = author_limit(request, b);
  generation.table = family.table(b, weights, text);
  generation.empty_past = empty_past(request, b, generation.prefix);
  generation.eos_token_ids = request.tokenizer.tokens.eos_token_ids;
  generation.pad_token_id = request.tokenizer.tokens.pad_token_id;
  generation.step = [&](const Value& embeddings, const std::vector<KeyValue>& past) {
    return family.decode(b, weights, text, {generation.table, embeddings, past});
  };
  generation.rules = loop_rules(request);
  const LoopBeams beams = loop_beams(request);
  const Value ids = beams.num_beams > 1 ? beam_search(b, "/beam_search", generation, beams)
                                        : greedy_search(b, "/greedy_search", generation);
  graph.output(ids, "generated_ids", {"batch_size", "new_tokens"});
  return graph;
}

Graph author_step(const BundleRequest& request, WeightTaker& weights) {
  const TextConfig& text = request.checkpoint.text.value();
  const TextFamily& family = text_family(text.model_type);
  Graph graph("captioner_step", request.opset);
  const Builder b{graph, request.ops};
  const Value prefix = author_prefix(request, b, weights);
  const Value ids = graph.input(kInputIds, DType::kI64, {"batch_size", "sequence_length"});
  const Value table = family.table(b, weights, text);
  const Value embeddings = embed(b, "/decoder/embed_tokens", table, ids);
  const Value x =
      graph.op("Concat", "/prefix/Concat", {prefix, embeddings}, {{"axis", int64_t{1}}});
  const DecoderOutput output =
      family.decode(b, weights, text, {table, x, empty_past(request, b, prefix)});
  graph.output(output.logits, kLogits, {"batch_size", 1, text.vocab_size});
  return graph;
}

std::vector<BundleGraph> single_graphs(const BundleRequest& request,
                                       std::vector<std::string>& notes) {
  check_beams(request);
  WeightTaker weights(request.checkpoint);
  std::vector<BundleGraph> made;
  if (request.generation.step) {
    made.push_back({"step", "onnx/model", author_step(request, weights)});
  } else {
    note_left_out(request.tokenizer.generation.settings, notes);
    made.push_back({"captioner", "onnx/model", author_loop(request, weights)});
  }
  finish_weights(request, weights, notes);
  return made;
}

}  // namespace

const Bundle kSingle{
    "single",
    "one graph that captions: pixel_values -> generated_ids, the whole loop inside",
    true,
    accepts_prefix,
    single_graphs,
    plain_files,
};

}  // namespace lorapress
