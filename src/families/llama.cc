// Llama decoders with grouped heads (SmolLM, SmolLM2, TinyLlama), transformers modeling_llama.py.
#include "blocks/attention.h"
#include "blocks/mlp.h"
#include "blocks/norm.h"
#include "families/family.h"
#include "families/linear_weights.h"
#include "families/rope_frequencies.h"

namespace lorapress {
namespace {

const std::string kRoot = "language_model.model";

NormWeights take_norm(WeightTaker& weights, const std::string& name, const TextConfig& config) {
  return {name, weights.take(name + ".weight", {config.hidden_size}), nullptr, config.rms_norm_eps};
}

AttentionWeights take_attention(WeightTaker& weights,
                                const std::string& name,
                                const TextConfig& config) {
  const int64_t query = config.num_attention_heads * config.head_dim;
  const int64_t key = config.num_key_value_heads * config.head_dim;
  const bool biased = config.attention_bias;
  return {name,
          take_linear(weights, name + ".q_proj", query, config.hidden_size, biased),
          take_linear(weights, name + ".k_proj", key, config.hidden_size, biased),
          take_linear(weights, name + ".v_proj", key, config.hidden_size, biased),
          take_linear(weights, name + ".o_proj", config.hidden_size, query, biased)};
}

Value build_mlp(const Builder& b,
                WeightTaker& weights,
                const std::string& name,
                const std::string& scope,
                const TextConfig& config,
                const Value& x) {
  const int64_t hidden = config.hidden_size;
  const int64_t wide = config.intermediate_size;
  return swiglu_mlp(b,
                    scope,
                    x,
                    take_linear(weights, name + ".gate_proj", wide, hidden, config.mlp_bias),
                    take_linear(weights, name + ".up_proj", wide, hidden, config.mlp_bias),
                    take_linear(weights, name + ".down_proj", hidden, wide, config.mlp_bias));
}

Value build_table(const Builder& b, WeightTaker& weights, const TextConfig& config) {
  const std::string name = kRoot + ".embed_tokens.weight";
  return b.weight(name, weights.take(name, {config.vocab_size, config.hidden_size}));
}

//  embeddings ── [ norm ── attention ── + ── norm ── mlp ── + ] x layers ── norm ── lm_head
// After the last attention only the last position goes on: nothing else reaches the logits.
DecoderOutput decode(const Builder& b,
                     WeightTaker& weights,
                     const TextConfig& config,
                     const DecoderInputs& inputs) {
  const RopeTables rope = rope_tables(b,
                                      "language_model.rotary",
                                      inverse_frequencies(config.rope, config.head_dim),
                                      config.max_position_embeddings);
  const CausalContext context =
      causal_context(b,
                     "/decoder",
                     inputs.embeddings,
                     inputs.past.at(0).key,
                     {config.num_attention_heads, config.num_key_value_heads, config.head_dim},
                     rope);
  const auto layer_name = [](int64_t layer) { return kRoot + ".layers." + std::to_string(layer); };
  DecoderOutput output;
  Value stream = inputs.embeddings;
  Value normed = rms_norm(b,
                          "/decoder/layers.0/input_layernorm",
                          stream,
                          take_norm(weights, layer_name(0) + ".input_layernorm", config));
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string name = layer_name(layer);
    const std::string scope = "/decoder/layers." + std::to_string(layer);
    const bool last = layer + 1 == config.num_hidden_layers;
    const AttentionWeights attention = take_attention(weights, name + ".self_attn", config);
    CausalOutput attended = causal_attention(b,
                                             scope + "/self_attn",
                                             normed,
                                             attention,
                                             inputs.past.at(static_cast<size_t>(layer)),
                                             context);
    output.present.push_back(attended.present);
    if (last) {
      attended.attended = last_position(b, scope + "/last_attended", attended.attended);
      stream = last_position(b, scope + "/last_stream", stream);
    }
    const Value projected =
        linear(b, scope + "/self_attn/o_proj", attended.attended, attention.out);
    const Residual middle =
        skip_rms_norm(b,
                      scope + "/post_attention_layernorm",
                      stream,
                      projected,
                      take_norm(weights, name + ".post_attention_layernorm", config));
    const Value up = build_mlp(b, weights, name + ".mlp", scope + "/mlp", config, middle.normed);
    const std::string next = last ? kRoot + ".norm" : layer_name(layer + 1) + ".input_layernorm";
    const std::string next_scope =
        last ? "/decoder/norm"
             : "/decoder/layers." + std::to_string(layer + 1) + "/input_layernorm";
    const Residual end =
        skip_rms_norm(b, next_scope, middle.sum, up, take_norm(weights, next, config));
    normed = end.normed;
    stream = end.sum;
  }
  Value head = inputs.table;
  if (!config.tie_word_embeddings) {
    const std::string name = "language_model.lm_head.weight";
    head = b.weight(name, weights.take(name, {config.vocab_size, config.hidden_size}));
  }
  output.logits = lm_head(b, "/decoder/lm_head", normed, head);
  return output;
}

}  // namespace

const TextFamily kLlama{"llama", build_table, decode};

}  // namespace lorapress
