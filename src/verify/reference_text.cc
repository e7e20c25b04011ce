// From transformers, models/llama/modeling_llama.py: LlamaRMSNorm, LlamaRotaryEmbedding,
// rotate_half, LlamaAttention, LlamaMLP, LlamaDecoderLayer, LlamaForCausalLM; what differs in
// Qwen2Attention, Qwen3Attention, Phi3Attention and Phi3MLP of their models. Which
// model has what is in reference_decoders.cc.
#include "verify/reference_text.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/fail.h"

namespace lorapress::reference {
namespace {

const std::string kHead = "language_model.lm_head";

// lm_head after the adapters, whether or not the reader found it tied: otherwise a wrong tie would
// be wrong here, too.
WeightPtr output_table(const Checkpoint& checkpoint, WeightTaker& weights, const Shape& shape) {
  const std::string name = kHead + ".weight";
  const WeightPtr& table = checkpoint.output_table;
  if (!table || table->shape() != shape || weights.has(name)) {
    weights.take(name, shape);  // finish() reports the fault
  }
  return table && table->shape() == shape ? table : zeros(DType::kF32, shape);
}

template <typename T>
BasicRows<T> columns(const BasicRows<T>& x, int64_t first, int64_t count) {
  BasicRows<T> part(x.rows, count);
  for (int64_t row = 0; row < x.rows; ++row) {
    const auto line = x.row(row).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    std::ranges::copy(line, part.row(row).begin());
  }
  return part;
}

// Qwen3Attention's q_norm and k_norm: every head is normalised by itself.
template <typename T>
void normalise_heads(const Norm& norm, int64_t head_dim, BasicRows<T>& x) {
  const int64_t rows = x.rows;
  const int64_t cols = x.cols;
  x.rows = rows * cols / head_dim;
  x.cols = head_dim;
  x = rms_norm(norm, x);
  x.rows = rows;
  x.cols = cols;
}

}  // namespace

Decoder::Decoder(const Checkpoint& checkpoint, WeightTaker& weights)
    : config_(checkpoint.text.value()), facts_(decoder_facts(checkpoint)) {
  const auto& layers = std::get<LlamaLayers>(config_.layers);
  const std::string root = "language_model.model.";
  const int64_t hidden = config_.hidden_size;
  const int64_t query = config_.num_attention_heads * config_.head_dim;
  const int64_t key = config_.num_key_value_heads * config_.head_dim;
  const int64_t wide = layers.intermediate_size;
  const auto norm = [&](const std::string& name, int64_t width) {
    return Norm{weights.take(name + ".weight", {width}), nullptr, layers.rms_norm_eps};
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
    Layer layer;
    layer.input_layernorm = norm(name + "input_layernorm", hidden);
    if (facts_.fused) {
      layer.q = attention("qkv_proj", query + 2 * key, hidden, false);
      layer.gate = mlp("gate_up_proj", 2 * wide, hidden);
    } else {
      layer.q = attention("q_proj", query, hidden, facts_.biases.q);
      layer.k = attention("k_proj", key, hidden, facts_.biases.k);
      layer.v = attention("v_proj", key, hidden, facts_.biases.v);
      layer.gate = mlp("gate_proj", wide, hidden);
      layer.up = mlp("up_proj", wide, hidden);
    }
    layer.o = attention("o_proj", hidden, query, facts_.biases.o);
    if (facts_.head_norms) {
      layer.q_norm = norm(name + "self_attn.q_norm", config_.head_dim);
      layer.k_norm = norm(name + "self_attn.k_norm", config_.head_dim);
    }
    layer.post_attention_layernorm = norm(name + "post_attention_layernorm", hidden);
    layer.down = mlp("down_proj", hidden, wide);
    layers_.push_back(std::move(layer));
  }
  norm_ = norm(root + "norm", hidden);
  lm_head_ = {kHead, output_table(checkpoint, weights, {config_.vocab_size, hidden}), nullptr};
}

template <typename T>
void Decoder::embed(int64_t id, std::span<T> out) const {
  if (id < 0 || id >= config_.vocab_size) {
    fail(ErrorCode::kInvalidArgument,
         "token {} is outside the vocabulary of {}",
         id,
         config_.vocab_size);
  }
  std::vector<float> row(static_cast<size_t>(config_.hidden_size));
  table_->read_floats({id, 1, 0, config_.hidden_size}, row);
  std::ranges::copy(row, out.begin());
}

template <typename T>
Decoder::Rotation<T> Decoder::rotation(int64_t positions) const {
  if (facts_.most_positions != 0 && positions > facts_.most_positions) {
    fail(ErrorCode::kInvalidArgument,
         "{} positions, expected at most {}: longrope has other frequencies for longer sequences",
         positions,
         facts_.most_positions);
  }
  Rotation<T> made;
  for (int64_t position = 0; position < positions; ++position) {
    for (const double frequency : facts_.inverse_frequencies) {
      const double angle = static_cast<double>(position) * frequency;
      made.cos.push_back(static_cast<T>(std::cos(angle) * facts_.rotary_scaling));
      made.sin.push_back(static_cast<T>(std::sin(angle) * facts_.rotary_scaling));
    }
  }
  return made;
}

// x * cos + rotate_half(x) * sin, where rotate_half(x) = [-x2, x1] for the halves x1, x2 of a head,
// or of its first numbers where only these are rotated (Phi3's apply_rotary_pos_emb).
template <typename T>
void Decoder::rotate(BasicRows<T>& x,
                     const std::vector<Span<T>>& spans,
                     const Rotation<T>& rotation) const {
  const auto width = static_cast<size_t>(config_.head_dim);
  const size_t half = facts_.inverse_frequencies.size();
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
Decoder::Projections<T> Decoder::projections(const Context& context,
                                             const Layer& layer,
                                             const BasicRows<T>& x) const {
  BasicRows<T> q = linear(context, layer.q, x);
  if (!facts_.fused) {
    return {std::move(q), linear(context, layer.k, x), linear(context, layer.v, x)};
  }
  const int64_t key = config_.num_key_value_heads * config_.head_dim;
  const int64_t query = q.cols - 2 * key;
  return {columns(q, 0, query), columns(q, query, key), columns(q, query + key, key)};
}

template <typename T>
BasicRows<T> Decoder::attention(const Context& context,
                                size_t index,
                                const BasicRows<T>& x,
                                const std::vector<Span<T>>& spans,
                                const Rotation<T>& rotation,
                                bool keep) const {
  const Layer& layer = layers_[index];
  const LayerFacts& facts = facts_.layers[index];
  auto [q, k, v] = projections(context, layer, x);
  if (facts_.head_norms) {
    normalise_heads(layer.q_norm, config_.head_dim, q);
    normalise_heads(layer.k_norm, config_.head_dim, k);
  }
  if (facts.rotated) {
    rotate(q, spans, rotation);
    rotate(k, spans, rotation);
  }
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
         {config_.num_attention_heads,
          config_.num_key_value_heads,
          config_.head_dim,
          true,
          facts.window},
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
    if (facts_.fused) {
      const int64_t wide = gate.cols / 2;
      const BasicRows<T> up = columns(gate, wide, wide);
      gate = columns(gate, 0, wide);
      silu_times(context, gate, up);
    } else {
      silu_times(context, gate, linear(context, layer.up, middle));
    }
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
