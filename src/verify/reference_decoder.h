// The decoder of a checkpoint, one of those that have a reference forward, for reference.cc.
#ifndef LORAPRESS_VERIFY_REFERENCE_DECODER_H_
#define LORAPRESS_VERIFY_REFERENCE_DECODER_H_

#include <utility>
#include <variant>

#include "verify/reference_layer_norm.h"
#include "verify/reference_text.h"

namespace lorapress::reference {

// The members are described in reference_text.h.
class AnyDecoder {
 public:
  AnyDecoder(const Checkpoint& checkpoint, WeightTaker& weights)
      : decoder_(made(checkpoint, weights)) {}

  template <typename T>
  void embed(int64_t id, std::span<T> out) const {
    std::visit([&](const auto& decoder) { decoder.embed(id, out); }, decoder_);
  }
  template <typename T>
  [[nodiscard]] BasicRows<T> forward(const Context& context,
                                     BasicRows<T> embeddings,
                                     const std::vector<Span<T>>& spans,
                                     bool keep) const {
    return std::visit(
        [&](const auto& decoder) {
          return decoder.forward(context, std::move(embeddings), spans, keep);
        },
        decoder_);
  }
  template <typename T>
  [[nodiscard]] BasicRows<T> head(const Context& context, const BasicRows<T>& hidden) const {
    return std::visit([&](const auto& decoder) { return decoder.head(context, hidden); }, decoder_);
  }

  // The width of an embedding, and of a layer.
  [[nodiscard]] int64_t embedding_size() const {
    return std::visit([](const auto& decoder) { return decoder.embedding_size(); }, decoder_);
  }
  [[nodiscard]] int64_t hidden_size() const {
    return std::visit([](const auto& decoder) { return decoder.hidden_size(); }, decoder_);
  }
  [[nodiscard]] int64_t vocab_size() const {
    return std::visit([](const auto& decoder) { return decoder.vocab_size(); }, decoder_);
  }

 private:
  using Variant = std::variant<Decoder, LayerNormDecoder>;
  static Variant made(const Checkpoint& checkpoint, WeightTaker& weights) {
    if (LayerNormDecoder::computes(checkpoint.text.value().model_type)) {
      return LayerNormDecoder(checkpoint, weights);
    }
    return Decoder(checkpoint, weights);
  }

  Variant decoder_;
};

}  // namespace lorapress::reference

#endif  // LORAPRESS_VERIFY_REFERENCE_DECODER_H_
