#include "families/llama_decoder.h"

#include <algorithm>

#include "blocks/attention.h"
#include "blocks/mlp.h"
#include "blocks/norm.h"
#include "families/linear_weights.h"
#include "families/rope_frequencies.h"

namespace lorapress {
namespace {

const std::string kRoot = "language_model.model";

const LlamaLayers& layers_of(const TextConfig& config) {
  return std::get<LlamaLayers>(config.layers);
}

NormWeights take_norm(WeightTaker& weights,
                      const std::string& name,
                      const TextConfig& config,
                      int64_t width) {
  return {name, weights.take(name + ".weight", {width}), nullptr, layers_of(config).rms_norm_eps};
}

AttentionWeights take_attention(WeightTaker& weights,
                                const std::string& name,
                                const TextConfig& config) {
  const int64_t hidden = config.hidden_size;
  const int64_t query = config.num_attention_heads * config.head_dim;
  const int64_t key = config.num_key_value_heads * config.head_dim;
  const LlamaLayers& layers = layers_of(config);
  const AttentionBiases& biased = layers.attention_bias;
  AttentionWeights taken;
  taken.name = name;
  if (layers.fused_projections) {
    taken.packed = take_linear(weights, name + ".qkv_proj", query + 2 * key, hidden, false);
  } else {
    taken.q = take_linear(weights, name + ".q_proj", query, hidden, biased.q);
    taken.k = take_linear(weights, name + ".k_proj", key, hidden, biased.k);
    taken.v = take_linear(weights, name + ".v_proj", key, hidden, biased.v);
  }
  taken.out = take_linear(weights, name + ".o_proj", hidden, query, biased.o);
  if (layers.head_norms) {
    taken.q_norm = take_norm(weights, name + ".q_norm", config, config.head_dim);
    taken.k_norm = take_norm(weights, name + ".k_norm", config, config.head_dim);
  }
  return taken;
}

Value build_mlp(const Builder& b,
                WeightTaker& weights,
                const std::string& name,
                const std::string& scope,
                const TextConfig& config,
                const Value& x) {
  const int64_t hidden = config.hidden_size;
  const int64_t wide = layers_of(config).intermediate_size;
  const bool biased = layers_of(config).mlp_bias;
  const LinearWeights down = take_linear(weights, name + ".down_proj", hidden, wide, biased);
  if (layers_of(config).fused_projections) {
    const std::string fused = name + ".gate_up_proj";
    return swiglu_mlp(b, scope, x, take_linear(weights, fused, 2 * wide, hidden, biased), down);
  }
  return swiglu_mlp(b,
                    scope,
                    x,
                    take_linear(weights, name + ".gate_proj", wide, hidden, biased),
                    take_linear(weights, name + ".up_proj", wide, hidden, biased),
                    down);
}

std::vector<CausalLayer> causal_layers(const TextConfig& config) {
  std::vector<CausalLayer> layers;
  for (const LayerKind& kind : layers_of(config).kinds) {
    layers.push_back({kind.rotated, kind.window});
  }
  layers.resize(static_cast<size_t>(config.num_hidden_layers));
  return layers;
}

Rope build_rope(const Builder& b, const TextConfig& config, std::span<const CausalLayer> layers) {
  if (std::ranges::none_of(layers, &CausalLayer::rotated)) {
    return {};
  }
  const RopeConfig& settings = layers_of(config).rope;
  return rope(b,
              "language_model.rotary",
              inverse_frequencies(settings, settings.rotary_dim),
              config.max_position_embeddings,
              static_cast<float>(settings.attention_factor));
}

}  // namespace

Value build_llama_table(const Builder& b, WeightTaker& weights, const TextConfig& config) {
  const std::string name = kRoot + ".embed_tokens.weight";
  return b.weight(name, weights.take(name, {config.vocab_size, config.hidden_size}));
}

//  embeddings ── [ norm ── attention ── + ── norm ── mlp ── + ] x layers ── norm ── lm_head
// (the families' attention and mlp differ only in what take_attention() and build_mlp() take)
// After the last attention only the last position is computed, since only it reaches the logits.
DecoderOutput decode_llama(const Builder& b,
                           WeightTaker& weights,
                           const TextConfig& config,
                           const DecoderInputs& inputs) {
  const std::vector<CausalLayer> layers = causal_layers(config);
  const CausalContext context =
      causal_context(b,
                     "/decoder",
                     inputs.embeddings,
                     inputs.past.at(0).key,
                     {config.num_attention_heads, config.num_key_value_heads, config.head_dim},
                     build_rope(b, config, layers),
                     layers,
                     inputs.attention_mask);
  const auto norm = [&](const std::string& name) {
    return take_norm(weights, name, config, config.hidden_size);
  };
  const auto layer_name = [](int64_t layer) { return kRoot + ".layers." + std::to_string(layer); };
  DecoderOutput output;
  output.sees_padding = inputs.attention_mask.present();
  Value hidden_states = call_tokens(b, "/decoder/call_tokens", inputs.embeddings, context);
  Value normalized = rms_norm(b,
                              "/decoder/layers.0/input_layernorm",
                              hidden_states,
                              norm(layer_name(0) + ".input_layernorm"));
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string name = layer_name(layer);
    const std::string scope = "/decoder/layers." + std::to_string(layer);
    const bool last = layer + 1 == config.num_hidden_layers;
    const AttentionWeights attention = take_attention(weights, name + ".self_attn", config);
    CausalOutput attended = causal_attention(b,
                                             scope + "/self_attn",
                                             normalized,
                                             attention,
                                             inputs.past.at(static_cast<size_t>(layer)),
                                             context,
                                             layers[static_cast<size_t>(layer)]);
    output.present.push_back(attended.present);
    if (last && !inputs.all_logits) {
      attended.attended = last_token(b, scope + "/last_attended", attended.attended, context);
      hidden_states = last_token(b, scope + "/last_stream", hidden_states, context);
    }
    const Value projected =
        linear(b, scope + "/self_attn/o_proj", attended.attended, attention.out);
    const Residual middle = skip_rms_norm(b,
                                          scope + "/post_attention_layernorm",
                                          hidden_states,
                                          projected,
                                          norm(name + ".post_attention_layernorm"));
    const Value up =
        build_mlp(b, weights, name + ".mlp", scope + "/mlp", config, middle.normalized);
    const std::string next = last ? kRoot + ".norm" : layer_name(layer + 1) + ".input_layernorm";
    const std::string next_scope =
        last ? "/decoder/norm"
             : "/decoder/layers." + std::to_string(layer + 1) + "/input_layernorm";
    const Residual end = skip_rms_norm(b, next_scope, middle.sum, up, norm(next));
    normalized = end.normalized;
    hidden_states = end.sum;
  }
  Value head = inputs.table;
  if (!config.tie_word_embeddings) {
    const std::string name = "language_model.lm_head.weight";
    head = b.weight(name, weights.take(name, {config.vocab_size, config.hidden_size}));
  }
  output.logits = lm_head(b, "/decoder/lm_head", normalized, head, {}, inputs.all_logits);
  return output;
}

}  // namespace lorapress
