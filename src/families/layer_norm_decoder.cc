#include "families/layer_norm_decoder.h"

#include <cmath>

#include "blocks/mlp.h"
#include "blocks/position_embeddings.h"
#include "families/encoder.h"

namespace lorapress {
namespace {

std::string table_weight(std::string_view module) {
  return std::string("language_model.").append(module).append(".weight");
}

// GPT2Attention: scale_attn_weights and scale_attn_by_inverse_layer_idx. 0: as usual.
double score_scale(const TextConfig& config, size_t layer) {
  const LayerNormLayers& settings = layer_norm_layers(config);
  if (settings.scaled_scores && !settings.scaled_by_layer) {
    return 0.0;
  }
  const double scale =
      settings.scaled_scores ? 1.0 / std::sqrt(static_cast<double>(config.head_dim)) : 1.0;
  return settings.scaled_by_layer ? scale / static_cast<double>(layer + 1) : scale;
}

//  x ── up ── activation ── down ── y
Value two_layer_mlp(const Builder& b,
                    const std::string& scope,
                    const Value& x,
                    const LayerNormLayer& layer,
                    const std::string& activation) {
  if (activation != "relu") {
    return gelu_mlp(b, scope, x, layer.up, layer.down, gelu_named(activation));
  }
  const Value wide = linear(b, scope + "/up", x, layer.up);
  return linear(b, scope + "/down", b.graph.op("Relu", scope + "/Relu", {wide}), layer.down);
}

// One sublayer with its residual.
//  norm first: x ─┬─ norm ── sublayer ── + ── y      else: x ─┬─ sublayer ── + ── norm ── y
//                 └─────────────────────┘                     └─────────────┘
class Residuals {
 public:
  Residuals(const Builder& b, bool norm_first, Value x)
      : b_(b), norm_first_(norm_first), x_(std::move(x)) {}

  // What the sublayer sees.
  Value enter(const std::string& scope, const NormWeights& norm) {
    return norm_first_ ? layer_norm(b_, scope, x_, norm) : x_;
  }
  void leave(const std::string& scope, const Value& sublayer, const NormWeights& norm) {
    x_ = b_.graph.op("Add", scope + "/Residual", {x_, sublayer});
    if (!norm_first_) {
      x_ = layer_norm(b_, scope, x_, norm);
    }
  }
  void keep_last_position(const std::string& scope) { x_ = last_position(b_, scope, x_); }
  [[nodiscard]] const Value& x() const { return x_; }

 private:
  const Builder& b_;
  bool norm_first_;
  Value x_;
};

}  // namespace

const LayerNormLayers& layer_norm_layers(const TextConfig& config) {
  return std::get<LayerNormLayers>(config.layers);
}

Value build_input_table(const Builder& b, WeightTaker& weights, const TextConfig& config) {
  const std::string name = table_weight(text_names(config.model_type).input_table);
  return b.weight(name, weights.take(name, {config.vocab_size, config.embedding_width()}));
}

NormWeights take_decoder_norm(WeightTaker& weights,
                              const std::string& name,
                              const TextConfig& config) {
  const LayerNormLayers& layers = layer_norm_layers(config);
  const Shape shape{config.hidden_size};
  if (!layers.affine_norms) {
    const std::vector<float> ones(static_cast<size_t>(config.hidden_size), 1.0F);
    return {name, float_constant(shape, ones), nullptr, layers.layer_norm_eps};
  }
  return {name,
          weights.take(name + ".weight", shape),
          weights.take(name + ".bias", shape),
          layers.layer_norm_eps};
}

//  embeddings ── (project_in) ── + positions ── [ attention, mlp ] x layers ── (norm) ──
//  ── (project_out) ── lm_head
// After the last attention only the last position is computed, since only it reaches the logits.
DecoderOutput decode_layer_norm(const Builder& b,
                                WeightTaker& weights,
                                const TextConfig& config,
                                const LayerNormParts& parts,
                                const DecoderInputs& inputs) {
  const LayerNormLayers& settings = layer_norm_layers(config);
  Value x = inputs.embeddings;
  if (parts.project_in) {
    x = linear(b, "/decoder/project_in", x, *parts.project_in);
  }
  const Value positions = learned_positions(b,
                                            "/decoder/positions",
                                            b.weight(parts.position_name, parts.positions),
                                            settings.position_offset,
                                            x,
                                            inputs.past.at(0).key);
  x = b.graph.op("Add", "/decoder/positions/Add", {x, positions});
  const CausalContext context =
      causal_context(b,
                     "/decoder",
                     x,
                     inputs.past.at(0).key,
                     {config.num_attention_heads, config.num_key_value_heads, config.head_dim});
  DecoderOutput output;
  Residuals stream(b, settings.norm_first, x);
  for (size_t i = 0; i < parts.layers.size(); ++i) {
    const LayerNormLayer& layer = parts.layers[i];
    const std::string scope = "/decoder/layers." + std::to_string(i);
    CausalOutput attended =
        causal_attention(b,
                         scope + "/self_attn",
                         stream.enter(scope + "/attention_norm", layer.attention_norm),
                         layer.attention,
                         inputs.past.at(i),
                         context,
                         {.rotated = false, .window = 0, .scale = score_scale(config, i)});
    output.present.push_back(attended.present);
    if (i + 1 == parts.layers.size()) {
      attended.attended = last_position(b, scope + "/last_attended", attended.attended);
      stream.keep_last_position(scope + "/last_stream");
    }
    stream.leave(scope + "/attention_norm",
                 linear(b, scope + "/self_attn/out_proj", attended.attended, layer.attention.out),
                 layer.attention_norm);
    const Value seen = stream.enter(scope + "/mlp_norm", layer.mlp_norm);
    stream.leave(scope + "/mlp_norm",
                 two_layer_mlp(b, scope + "/mlp", seen, layer, settings.activation),
                 layer.mlp_norm);
  }
  x = stream.x();
  if (parts.last_norm) {
    x = layer_norm(b, "/decoder/last_norm", x, *parts.last_norm);
  }
  if (parts.project_out) {
    x = linear(b, "/decoder/project_out", x, *parts.project_out);
  }
  Value head = inputs.table;
  if (!config.tie_word_embeddings) {
    const std::string name = table_weight(text_names(config.model_type).output_table);
    head = b.weight(name, weights.take(name, {config.vocab_size, config.embedding_width()}));
  }
  output.logits = lm_head(b, "/decoder/lm_head", x, head);
  return output;
}

}  // namespace lorapress
