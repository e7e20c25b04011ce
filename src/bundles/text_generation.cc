// Bundle "text-generation": a decoder alone for pipeline('text-generation') and AutoModelForCausalLM
// of unmodified transformers.js 3.8 and 4.3.
//
//   config.json  generation_config.json  tokenizer.json  tokenizer_config.json  chat_template.jinja
//   onnx/model<suffix>.onnx  input_ids, attention_mask, past -> logits, present
//
// The client feeds position_ids and use_cache_branch only where a graph declares them (models.js,
// decoderForward); ours has positions from its cache's length and one branch.

#include "blocks/linear.h"
#include "bundles/graph_rules.h"
#include "bundles/parts.h"
#include "bundles/refuse_inputs.h"
#include "bundles/special_tokens.h"

namespace lorapress {
namespace {

bool accepts_text(const Checkpoint& checkpoint) {
  return checkpoint.composite == nullptr && checkpoint.text && !checkpoint.vision &&
         text_family(checkpoint.text->model_type).cross != CrossAttention::kAlways;
}

Graph author_model(const BundleRequest& request, WeightTaker& weights) {
  const TextConfig& text = request.checkpoint.text.value();
  const TextFamily& family = text_family(text.model_type);
  Graph graph("model", request.opset);
  const Builder b{graph, request.ops};
  const Value ids = graph.input(kInputIds, DType::kI64, {"batch_size", "sequence_length"});
  const Value mask = graph.input(kAttentionMask, DType::kI64, {"batch_size", "mask_length"});
  const std::vector<KeyValue> past = past_inputs(request, graph);
  const std::optional<KeyValue> past_ids = past_ids_input(request, graph);
  const Value table = family.table(b, weights, text);
  const Value x = embed(b, "/decoder/embed_tokens", table, ids);
  DecoderOutput output = family.decode(b, weights, text, {table, x, past, ids, {}, mask});
  // Prompts of different lengths are padded by the client; these families would take the padding for text.
  if (!output.sees_padding) {
    output.logits = refuse_padding(b, output.logits, mask);
  }
  std::optional<KeyValue> present_ids;
  if (past_ids) {
    present_ids =
        add_rules(request, b, *past_ids, ids, output);  // padding, too, as generate() has it
  }
  declare_outputs(request, graph, output);
  if (present_ids) {
    declare_ids(request, graph, *present_ids);
  }
  return graph;
}

std::vector<BundleGraph> text_graphs(const BundleRequest& request,
                                     std::vector<std::string>& notes) {
  note_transformers_js(request, notes);
  note_rules_in_graph(request, notes);
  WeightTaker weights(request.checkpoint);
  std::vector<BundleGraph> made;
  made.push_back({"decoder", "onnx/model", author_model(request, weights)});
  finish_weights(request, weights, notes);
  return made;
}

// The decoder's own config.json, with what transformers.js reads written out.
Json model_config(const BundleRequest& request, const std::map<std::string, int>& data_files) {
  const TextConfig& text = request.checkpoint.text.value();
  const SpecialTokens& tokens = request.tokenizer.tokens;
  Json config = request.checkpoint.text_json;
  config.update({{"model_type", text.model_type},
                 {"architectures", {text_family(text.model_type).architecture}},
                 {"hidden_size", text.hidden_size},
                 {"num_hidden_layers", cached_pairs(request)},
                 {"num_attention_heads", text.num_attention_heads},
                 {"num_key_value_heads", text.num_key_value_heads},
                 {"head_dim", text.head_dim},
                 {"max_position_embeddings", text.max_position_embeddings},
                 {"vocab_size", text.vocab_size},
                 {"eos_token_id", eos_json(tokens)},
                 {"bos_token_id", tokens.bos_token_id},
                 {"pad_token_id", tokens.pad_token_id},
                 {"transformers.js_config", runtime_config(request, data_files)}});
  if (config.contains("n_layer")) {  // gpt2's name, which its clients read
    config["n_layer"] = cached_pairs(request);
  }
  return config;
}

std::map<std::string, Json> text_files(const BundleRequest& request,
                                       const std::map<std::string, int>& data_files) {
  return {{"config.json", model_config(request, data_files)},
          {"generation_config.json", generation_config(request)},
          {"tokenizer_config.json", pipeline_tokenizer_config(request.tokenizer)}};
}

}  // namespace

const Bundle kTextGeneration{
    "text-generation",
    "a decoder alone for pipeline('text-generation') of unmodified transformers.js 3.8 and 4.3",
    false,
    accepts_text,
    text_graphs,
    text_files,
    RulesInGraph::kOnRequest,
};

}  // namespace lorapress
