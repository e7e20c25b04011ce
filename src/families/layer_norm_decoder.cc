#include "families/layer_norm_decoder.h"

#include <cmath>
#include <fmt/format.h>

#include "blocks/mlp.h"
#include "blocks/position_embeddings.h"
#include "checkpoint/config_fields.h"
#include "families/encoder.h"
#include "families/linear_weights.h"

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

Value activated(const Builder& b,
                const std::string& scope,
                const Value& x,
                const std::string& activation) {
  return activation == "relu" ? b.graph.op("Relu", scope + "/Relu", {x})
                              : gelu(b, scope + "/gelu", x, gelu_named(activation));
}

//  x ── up ── activation ── down ── y
Value two_layer_mlp(const Builder& b,
                    const std::string& scope,
                    const Value& x,
                    const LayerNormLayer& layer,
                    const std::string& activation) {
  const Value wide = linear(b, scope + "/up", x, layer.up);
  return linear(b, scope + "/down", activated(b, scope, wide, activation), layer.down);
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

TextConfig read_decoder_sizes(const Json& json, std::string_view where, const DecoderSizes& sizes) {
  using namespace config_fields;
  TextConfig config;
  config.vocab_size = dimension(json, sizes.vocab_size.key, sizes.vocab_size.usual, where);
  config.hidden_size = dimension(json, sizes.hidden_size.key, sizes.hidden_size.usual, where);
  config.num_hidden_layers =
      count(json, sizes.num_hidden_layers.key, sizes.num_hidden_layers.usual, where);
  config.num_attention_heads =
      count(json, sizes.num_attention_heads.key, sizes.num_attention_heads.usual, where);
  config.num_key_value_heads = config.num_attention_heads;
  require_divisible(config.hidden_size,
                    config.num_attention_heads,
                    fmt::format("{} by {}", sizes.hidden_size.key, sizes.num_attention_heads.key),
                    where);
  config.head_dim = config.hidden_size / config.num_attention_heads;
  config.max_position_embeddings = dimension(
      json, sizes.max_position_embeddings.key, sizes.max_position_embeddings.usual, where);
  config.tie_word_embeddings = json_or<bool>(json, "tie_word_embeddings", true, where);
  return config;
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

LayerNormLayer take_layer_norm_layer(WeightTaker& weights,
                                     const std::string& name,
                                     const TextConfig& config,
                                     const LayerNormNames& names) {
  const LayerNormLayers& layers = layer_norm_layers(config);
  const int64_t hidden = config.hidden_size;
  const auto full = [&](std::string_view part) { return std::string(name).append(part); };
  const auto take = [&](std::string_view part, int64_t out, int64_t in) {
    return take_linear(weights, full(part), out, in, layers.linear_bias);
  };
  LayerNormLayer layer;
  layer.attention.name = full(names.attention);
  layer.attention.q = take(names.q, hidden, hidden);
  layer.attention.k = take(names.k, hidden, hidden);
  layer.attention.v = take(names.v, hidden, hidden);
  layer.attention.out = take(names.out, hidden, hidden);
  layer.attention_norm = take_decoder_norm(weights, full(names.attention_norm), config);
  if (!names.cross_q.empty()) {
    layer.cross = CrossSublayer{take_decoder_norm(weights, full(names.cross_norm), config),
                                {take(names.cross_q, hidden, hidden),
                                 packed_kv(full(names.cross),
                                           take(names.cross_k, hidden, layers.cross_width),
                                           take(names.cross_v, hidden, layers.cross_width)),
                                 take(names.cross_out, hidden, hidden)}};
  }
  layer.mlp_norm = take_decoder_norm(weights, full(names.mlp_norm), config);
  layer.up = take(names.up, layers.intermediate_size, hidden);
  layer.down = take(names.down, hidden, layers.intermediate_size);
  return layer;
}

namespace {

//  embeddings ── (Mul scale) ── (project_in) ── + positions ── (norm) ── x
Value embedded(const Builder& b,
               const TextConfig& config,
               const LayerNormParts& parts,
               const DecoderInputs& inputs) {
  const LayerNormLayers& settings = layer_norm_layers(config);
  const std::string scope = "/decoder/positions";
  const Value& past_key = inputs.past.at(0).key;
  Value x = inputs.embeddings;
  if (settings.embedding_scale != 1.0) {
    const Value factor = b.graph.scalar(static_cast<float>(settings.embedding_scale));
    x = b.graph.op("Mul", "/decoder/embedding_scale", {x, factor});
  }
  if (parts.project_in) {
    x = linear(b, "/decoder/project_in", x, *parts.project_in);
  }
  const Value positions = parts.positions
                              ? learned_positions(b,
                                                  scope,
                                                  b.weight(parts.position_name, parts.positions),
                                                  settings.position_offset,
                                                  x,
                                                  past_key)
                              : sinusoidal_positions(b,
                                                     scope,
                                                     config.hidden_size,
                                                     settings.sinusoid_padding.value(),
                                                     inputs.ids,
                                                     past_key);
  x = b.graph.op("Add", scope + "/Add", {x, positions});
  return parts.embedding_norm ? layer_norm(b, "/decoder/embedding_norm", x, *parts.embedding_norm)
                              : x;
}

//  x ── (norm) ── (project_out) ── (dense ── activation ── norm) ── lm_head (+ bias) ── logits
Value head_logits(const Builder& b,
                  WeightTaker& weights,
                  const TextConfig& config,
                  const LayerNormParts& parts,
                  const DecoderInputs& inputs,
                  Value x) {
  if (parts.last_norm) {
    x = layer_norm(b, "/decoder/last_norm", x, *parts.last_norm);
  }
  if (parts.project_out) {
    x = linear(b, "/decoder/project_out", x, *parts.project_out);
  }
  if (parts.head_layer) {
    const std::string scope = "/decoder/head_layer";
    const Value dense = linear(b, scope, x, parts.head_layer->dense);
    x = layer_norm(b,
                   scope + "/norm",
                   activated(b, scope, dense, layer_norm_layers(config).activation),
                   parts.head_layer->norm);
  }
  Value head = inputs.table;
  if (!config.tie_word_embeddings) {
    const std::string name = table_weight(text_names(config.model_type).output_table);
    head = b.weight(name, weights.take(name, {config.vocab_size, config.embedding_width()}));
  }
  const Value bias = parts.head_bias ? b.weight(parts.head_bias_name, parts.head_bias) : Value{};
  return lm_head(b, "/decoder/lm_head", x, head, bias, inputs.all_logits);
}

}  // namespace

//  embeddings ── [ attention, (cross attention), mlp ] x layers ── head ── logits
// After the last attention only the last position is computed, since only it reaches the logits.
DecoderOutput decode_layer_norm(const Builder& b,
                                WeightTaker& weights,
                                const TextConfig& config,
                                const LayerNormParts& parts,
                                const DecoderInputs& inputs) {
  const LayerNormLayers& settings = layer_norm_layers(config);
  const CausalHeads heads{config.num_attention_heads, config.num_key_value_heads, config.head_dim};
  Residuals stream(b, settings.norm_first, embedded(b, config, parts, inputs));
  const CausalContext context =
      causal_context(b, "/decoder", stream.x(), inputs.past.at(0).key, heads);
  const bool crosses = inputs.cross.states.present();
  const CrossContext seen =
      crosses
          ? cross_context(b, "/decoder", inputs.cross.states, inputs.cross.past.at(0).key, heads)
          : CrossContext{};
  DecoderOutput output;
  for (size_t i = 0; i < parts.layers.size(); ++i) {
    const LayerNormLayer& layer = parts.layers[i];
    const std::string scope = "/decoder/layers." + std::to_string(i);
    const double scale = score_scale(config, i);
    CausalOutput own =
        causal_attention(b,
                         scope + "/self_attn",
                         stream.enter(scope + "/attention_norm", layer.attention_norm),
                         layer.attention,
                         inputs.past.at(i),
                         context,
                         {.rotated = false, .window = 0, .scale = scale});
    output.present.push_back(own.present);
    if (i + 1 == parts.layers.size() && !inputs.all_logits) {
      own.attended = last_position(b, scope + "/last_attended", own.attended);
      stream.keep_last_position(scope + "/last_stream");
    }
    stream.leave(scope + "/attention_norm",
                 linear(b, scope + "/self_attn/out_proj", own.attended, layer.attention.out),
                 layer.attention_norm);
    if (crosses && layer.cross) {
      const CrossSublayer& cross = *layer.cross;
      const CrossOutput other = cross_attention(b,
                                                scope + "/cross_attn",
                                                stream.enter(scope + "/cross_norm", cross.norm),
                                                cross.attention,
                                                inputs.cross.past.at(i),
                                                seen,
                                                scale);
      output.cross.push_back(other.present);
      stream.leave(scope + "/cross_norm",
                   linear(b, scope + "/cross_attn/out_proj", other.attended, cross.attention.out),
                   cross.norm);
    }
    const Value x = stream.enter(scope + "/mlp_norm", layer.mlp_norm);
    stream.leave(scope + "/mlp_norm",
                 two_layer_mlp(b, scope + "/mlp", x, layer, settings.activation),
                 layer.mlp_norm);
  }
  output.logits = head_logits(b, weights, config, parts, inputs, stream.x());
  return output;
}

}  // namespace lorapress
