// The forward of decoders with LayerNorm; reference_layer_norm_weights.cc says where it is from.
#include "verify/reference_layer_norm.h"

#include <algorithm>
#include <utility>

#include "base/fail.h"

namespace lorapress::reference {
namespace {

// Appends rows first..first+count.
template <typename T>
void append(std::vector<T>& to, const BasicRows<T>& from, int64_t first, int64_t count) {
  const auto begin = from.values.begin() + first * from.cols;
  to.insert(to.end(), begin, begin + count * from.cols);
}

}  // namespace

template <typename T>
void LayerNormDecoder::embed(int64_t id, std::span<T> out) const {
  require_token(id, vocab_size_);
  std::vector<float> row(static_cast<size_t>(embedding_size_));
  table_->read_floats({id, 1, 0, embedding_size_}, row);
  std::ranges::transform(row, out.begin(), [&](float value) {
    return static_cast<T>(value) * static_cast<T>(embed_scale_);
  });
}

template <typename T>
void LayerNormDecoder::add_positions(BasicRows<T>& rows, const std::vector<Span<T>>& spans) const {
  std::vector<float> added(static_cast<size_t>(hidden_));
  int64_t row = 0;
  for (const Span<T>& span : spans) {
    const int64_t image_rows = span.rows - std::ssize(span.ids);
    for (int64_t i = 0; i < span.rows; ++i) {
      const bool placed = i < image_rows || !unplaced_ ||
                          span.ids[static_cast<size_t>(i - image_rows)] != *unplaced_;
      const int64_t at = position_offset_ + (placed ? span.sequence->length + i : -1);
      if (at >= positions_->rows()) {
        fail(ErrorCode::kInvalidArgument,
             "position {} is beyond the {} of the decoder",
             span.sequence->length + i,
             positions_->rows() - position_offset_);
      }
      positions_->read_floats({at, 1, 0, hidden_}, added);
      const auto line = rows.row(row++);
      for (size_t column = 0; column < line.size(); ++column) {
        line[column] += static_cast<T>(added[column]);
      }
    }
  }
}

// Keys and values of the encoder's states, for sequences that have none yet.
template <typename T>
void LayerNormDecoder::add_states(const Context& context,
                                  const Attention& layer,
                                  size_t index,
                                  const std::vector<Span<T>>& spans) const {
  BasicRows<T> states;
  std::vector<Sequence<T>*> added;
  for (const Span<T>& span : spans) {
    Sequence<T>& sequence = *span.sequence;
    if (sequence.state_keys[index].empty()) {
      states.cols = sequence.states->cols;
      append(states.values, *sequence.states, 0, sequence.states->rows);
      states.rows += sequence.states->rows;
      added.push_back(&sequence);
    }
  }
  if (added.empty()) {
    return;
  }
  const std::vector<BasicRows<T>> parts = linear_parts(context, layer.inputs, states, hidden_);
  int64_t row = 0;
  for (Sequence<T>* sequence : added) {
    append(sequence->state_keys[index], parts[0], row, sequence->states->rows);
    append(sequence->state_values[index], parts[1], row, sequence->states->rows);
    row += sequence->states->rows;
  }
}

template <typename T>
BasicRows<T> LayerNormDecoder::attention(const Context& context,
                                         const Attention& layer,
                                         size_t index,
                                         const BasicRows<T>& x,
                                         const std::vector<Span<T>>& spans,
                                         bool keep) const {
  const bool cross = layer.query.weight != nullptr;
  std::vector<BasicRows<T>> made;  // query, and of self attention key and value
  if (cross) {
    made.push_back(linear(context, layer.query, x));
    add_states(context, layer, index, spans);
  } else {
    made = linear_parts(context, layer.inputs, x, hidden_);
  }
  for (T& value : made[0].values) {
    value *= static_cast<T>(layer.factor);
  }
  BasicRows<T> joined(x.rows, hidden_);
  std::vector<AttentionPart<T>> parts;
  int64_t row = 0;
  for (const Span<T>& span : spans) {
    Sequence<T>& sequence = *span.sequence;
    std::vector<T>& keys = (cross ? sequence.state_keys : sequence.keys)[index];
    std::vector<T>& values = (cross ? sequence.state_values : sequence.values)[index];
    if (!cross) {
      append(keys, made[1], row, span.rows);
      append(values, made[2], row, span.rows);
    }
    parts.push_back({made[0].values.data() + row * hidden_,
                     keys.data(),
                     values.data(),
                     joined.values.data() + row * hidden_,
                     span.rows,
                     cross ? sequence.states->rows : sequence.length + span.rows});
    row += span.rows;
  }
  attend(context, {heads_, heads_, hidden_ / heads_, !cross}, parts);
  for (const Span<T>& span : spans) {
    if (!keep) {
      Sequence<T>& sequence = *span.sequence;
      std::vector<T>().swap((cross ? sequence.state_keys : sequence.keys)[index]);
      std::vector<T>().swap((cross ? sequence.state_values : sequence.values)[index]);
    }
  }
  return linear(context, layer.out, joined);
}

template <typename T>
BasicRows<T> LayerNormDecoder::forward(const Context& context,
                                       BasicRows<T> embeddings,
                                       const std::vector<Span<T>>& spans,
                                       bool keep) const {
  for (const Span<T>& span : spans) {
    Sequence<T>& sequence = *span.sequence;
    for (auto* cache :
         {&sequence.keys, &sequence.values, &sequence.state_keys, &sequence.state_values}) {
      cache->resize(layers_.size());
    }
  }
  BasicRows<T> stream =
      project_in_ ? linear(context, *project_in_, embeddings) : std::move(embeddings);
  add_positions(stream, spans);
  if (first_norm_) {
    stream = layer_norm(*first_norm_, stream);
  }
  const auto sublayer = [&](const Norm& norm, const auto& compute) {
    if (norm_first_) {
      add(stream, compute(layer_norm(norm, stream)));
    } else {
      add(stream, compute(stream));
      stream = layer_norm(norm, stream);
    }
  };
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    sublayer(layer.own.norm, [&](const BasicRows<T>& x) {
      return attention(context, layer.own, i, x, spans, keep);
    });
    if (layer.cross) {
      sublayer(layer.cross->norm, [&](const BasicRows<T>& x) {
        return attention(context, *layer.cross, i, x, spans, keep);
      });
    }
    sublayer(layer.norm, [&](const BasicRows<T>& x) {
      BasicRows<T> wide = linear(context, layer.fc1, x);
      activate(context, activation_, wide);
      return linear(context, layer.fc2, wide);
    });
    context.layer_done();
  }
  for (const Span<T>& span : spans) {
    span.sequence->length += span.rows;
  }
  return stream;
}

template <typename T>
BasicRows<T> LayerNormDecoder::head(const Context& context, const BasicRows<T>& hidden) const {
  BasicRows<T> x = hidden;
  if (transform_) {
    x = linear(context, *transform_, x);
    activate(context, activation_, x);
  }
  if (last_norm_) {
    x = layer_norm(*last_norm_, x);
  }
  if (project_out_) {
    x = linear(context, *project_out_, x);
  }
  return linear(context, head_, x);
}

// clang-format off
#define LORAPRESS_INSTANTIATE(T)                                                                \
  template void LayerNormDecoder::embed(int64_t, std::span<T>) const;                           \
  template BasicRows<T> LayerNormDecoder::forward(const Context&, BasicRows<T>,                 \
                                                  const std::vector<Span<T>>&, bool) const;     \
  template BasicRows<T> LayerNormDecoder::head(const Context&, const BasicRows<T>&) const;
LORAPRESS_INSTANTIATE(float)
LORAPRESS_INSTANTIATE(double)
#undef LORAPRESS_INSTANTIATE
// clang-format on

}  // namespace lorapress::reference
