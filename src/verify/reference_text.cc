// From transformers, models/llama/modeling_llama.py: LlamaRMSNorm, LlamaRotaryEmbedding,
// rotate_half, LlamaAttention, LlamaMLP, LlamaDecoderLayer, LlamaForCausalLM; the rotary variants
// from modeling_rope_utils.py (_compute_linear_scaling_rope_parameters,
// _compute_llama3_parameters); what differs in models/qwen2/modeling_qwen2.py: Qwen2Attention.
#include "verify/reference_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "base/fail.h"

namespace lorapress::reference {
namespace {

// llama3: wavelengths above the old context / low_freq_factor are slowed by the whole factor, those
// below the old context / high_freq_factor not at all, with a ramp in between.
double llama3_scaled(double frequency, const RopeConfig& rope) {
  const auto context = static_cast<double>(rope.original_max_position_embeddings);
  const double turns = context * frequency / (2.0 * std::numbers::pi);  // within the old context
  if (turns < rope.low_freq_factor) {
    return frequency / rope.factor;
  }
  if (turns > rope.high_freq_factor) {
    return frequency;
  }
  const double ramp =
      (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return frequency * (ramp + (1.0 - ramp) / rope.factor);
}

// A decoder that this forward computes, and which projections of its attention have a bias: stated
// here independently of the families' readers.
struct DecoderRow {
  std::string_view model_type;
  AttentionBiases (*biases)(const Json& config);
};
constexpr std::array kDecoders = {
    DecoderRow{"llama",
               [](const Json& config) {
                 const bool bias = config.value("attention_bias", Json(false)) == true;
                 return AttentionBiases{bias, bias, bias, bias};
               }},
    DecoderRow{"qwen2", [](const Json&) { return AttentionBiases{true, true, true, false}; }},
};

AttentionBiases attention_biases(const Checkpoint& checkpoint) {
  const std::string& model_type = checkpoint.text.value().model_type;
  const auto row = std::ranges::find(kDecoders, model_type, &DecoderRow::model_type);
  if (row == kDecoders.end()) {
    fail(ErrorCode::kUnsupported, "model_type \"{}\" has no reference forward", model_type);
  }
  return row->biases(checkpoint.text_json);
}

std::vector<double> frequencies(const RopeConfig& rope, int64_t head_dim) {
  std::vector<double> all;
  for (int64_t i = 0; i < head_dim; i += 2) {
    const double base =
        std::pow(rope.rope_theta, -static_cast<double>(i) / static_cast<double>(head_dim));
    if (rope.rope_type == "default") {
      all.push_back(base);
    } else if (rope.rope_type == "linear") {
      all.push_back(base / rope.factor);
    } else if (rope.rope_type == "llama3") {
      all.push_back(llama3_scaled(base, rope));
    } else {
      fail(ErrorCode::kUnsupported,
           "rope_type \"{}\" has no reference forward (default, linear and llama3 have)",
           rope.rope_type);
    }
  }
  return all;
}

}  // namespace

Decoder::Decoder(const Checkpoint& checkpoint, WeightTaker& weights)
    : config_(checkpoint.text.value()),
      inverse_frequencies_(
          frequencies(std::get<LlamaLayers>(config_.layers).rope, config_.head_dim)) {
  const AttentionBiases biased = attention_biases(checkpoint);
  const auto& layers = std::get<LlamaLayers>(config_.layers);
  const std::string root = "language_model.model.";
  const int64_t hidden = config_.hidden_size;
  const int64_t query = config_.num_attention_heads * config_.head_dim;
  const int64_t key = config_.num_key_value_heads * config_.head_dim;
  const int64_t wide = layers.intermediate_size;
  const auto norm = [&](const std::string& name) {
    return Norm{weights.take(name + ".weight", {hidden}), nullptr, layers.rms_norm_eps};
  };
  table_ = weights.take(root + "embed_tokens.weight", {config_.vocab_size, hidden});
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    const std::string name = root + "layers." + std::to_string(i) + ".";
    const auto attention = [&](const char* part, int64_t out, int64_t in, bool bias) {
      return take_linear(weights, name + "self_attn." + part, out, in, bias);
    };
    const auto mlp = [&](const char* part, int64_t out, int64_t in) {
      return take_linear(weights, name + "mlp." + part, out, in, layers.mlp_bias);
    };
    layers_.push_back({norm(name + "input_layernorm"),
                       attention("q_proj", query, hidden, biased.q),
                       attention("k_proj", key, hidden, biased.k),
                       attention("v_proj", key, hidden, biased.v),
                       attention("o_proj", hidden, query, biased.o),
                       norm(name + "post_attention_layernorm"),
                       mlp("gate_proj", wide, hidden),
                       mlp("up_proj", wide, hidden),
                       mlp("down_proj", hidden, wide)});
  }
  norm_ = norm(root + "norm");
  lm_head_ = take_head(checkpoint, weights, "language_model.lm_head", hidden);
}

template <typename T>
void Decoder::embed(int64_t id, std::span<T> out) const {
  require_token(id, config_.vocab_size);
  std::vector<float> row(static_cast<size_t>(config_.hidden_size));
  table_->read_floats({id, 1, 0, config_.hidden_size}, row);
  std::ranges::copy(row, out.begin());
}

template <typename T>
Decoder::Rotation<T> Decoder::rotation(int64_t positions) const {
  Rotation<T> made;
  for (int64_t position = 0; position < positions; ++position) {
    for (const double frequency : inverse_frequencies_) {
      const double angle = static_cast<double>(position) * frequency;
      made.cos.push_back(static_cast<T>(std::cos(angle)));
      made.sin.push_back(static_cast<T>(std::sin(angle)));
    }
  }
  return made;
}

// x * cos + rotate_half(x) * sin, where rotate_half(x) = [-x2, x1] for the halves x1, x2 of a head.
template <typename T>
void Decoder::rotate(BasicRows<T>& x,
                     const std::vector<Span<T>>& spans,
                     const Rotation<T>& rotation) const {
  const auto width = static_cast<size_t>(config_.head_dim);
  const size_t half = width / 2;
  int64_t row = 0;
  for (const Span<T>& span : spans) {
    for (int64_t i = 0; i < span.rows; ++i) {
      const size_t at = static_cast<size_t>(span.sequence->length + i) * half;
      const auto line = x.row(row++);
      for (size_t head = 0; head < line.size(); head += width) {
        for (size_t j = 0; j < half; ++j) {
          const T cos = rotation.cos[at + j];
          const T sin = rotation.sin[at + j];
          T& first = line[head + j];
          T& second = line[head + half + j];
          const T turned = first * cos - second * sin;
          second = second * cos + first * sin;
          first = turned;
        }
      }
    }
  }
}

template <typename T>
BasicRows<T> Decoder::attention(const Context& context,
                                size_t index,
                                const BasicRows<T>& x,
                                const std::vector<Span<T>>& spans,
                                const Rotation<T>& rotation,
                                bool keep) const {
  const Layer& layer = layers_[index];
  BasicRows<T> q = linear(context, layer.q, x);
  BasicRows<T> k = linear(context, layer.k, x);
  const BasicRows<T> v = linear(context, layer.v, x);
  rotate(q, spans, rotation);
  rotate(k, spans, rotation);
  BasicRows<T> joined(x.rows, q.cols);
  std::vector<AttentionPart<T>> parts;
  int64_t row = 0;
  for (const Span<T>& span : spans) {
    std::vector<T>& keys = span.sequence->keys[index];
    std::vector<T>& values = span.sequence->values[index];
    const auto append = [&](std::vector<T>& to, const BasicRows<T>& from) {
      const auto first = from.values.begin() + row * from.cols;
      to.insert(to.end(), first, first + span.rows * from.cols);
    };
    append(keys, k);
    append(values, v);
    parts.push_back({q.values.data() + row * q.cols,
                     keys.data(),
                     values.data(),
                     joined.values.data() + row * q.cols,
                     span.rows,
                     span.sequence->length + span.rows});
    row += span.rows;
  }
  attend(context,
         {config_.num_attention_heads, config_.num_key_value_heads, config_.head_dim, true},
         parts);
  for (const Span<T>& span : spans) {
    if (!keep) {
      std::vector<T>().swap(span.sequence->keys[index]);
      std::vector<T>().swap(span.sequence->values[index]);
    }
  }
  return linear(context, layer.o, joined);
}

template <typename T>
BasicRows<T> Decoder::forward(const Context& context,
                              BasicRows<T> embeddings,
                              const std::vector<Span<T>>& spans,
                              bool keep) const {
  int64_t longest = 0;
  for (const Span<T>& span : spans) {
    span.sequence->keys.resize(layers_.size());
    span.sequence->values.resize(layers_.size());
    longest = std::max(longest, span.sequence->length + span.rows);
  }
  const Rotation<T> turns = rotation<T>(longest);
  BasicRows<T> stream = std::move(embeddings);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const BasicRows<T> normed = rms_norm(layer.input_layernorm, stream);
    add(stream, attention(context, i, normed, spans, turns, keep));
    const BasicRows<T> middle = rms_norm(layer.post_attention_layernorm, stream);
    BasicRows<T> gate = linear(context, layer.gate, middle);
    silu_times(context, gate, linear(context, layer.up, middle));
    add(stream, linear(context, layer.down, gate));
    context.layer_done();
  }
  for (const Span<T>& span : spans) {
    span.sequence->length += span.rows;
  }
  return stream;
}

template <typename T>
BasicRows<T> Decoder::head(const Context& context, const BasicRows<T>& hidden) const {
  return linear(context, lm_head_, rms_norm(norm_, hidden));
}

// clang-format off
#define LORAPRESS_INSTANTIATE(T)                                                       \
  template void Decoder::embed(int64_t, std::span<T>) const;                           \
  template BasicRows<T> Decoder::forward(const Context&, BasicRows<T>,                 \
                                         const std::vector<Span<T>>&, bool) const;     \
  template BasicRows<T> Decoder::head(const Context&, const BasicRows<T>&) const;
LORAPRESS_INSTANTIATE(float)
LORAPRESS_INSTANTIATE(double)
#undef LORAPRESS_INSTANTIATE
// clang-format on

}  // namespace lorapress::reference
