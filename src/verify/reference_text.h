// Decoders of Llama's kind (reference_decoders.cc lists them), for reference.cc.
#ifndef LORAPRESS_VERIFY_REFERENCE_TEXT_H_
#define LORAPRESS_VERIFY_REFERENCE_TEXT_H_

#include "verify/reference_decoders.h"
#include "verify/reference_math.h"

namespace lorapress::reference {

// Keys and values of the positions of a sequence so far.
template <typename T>
struct Sequence {
  int64_t length = 0;
  std::vector<std::vector<T>> keys;  // per layer [length, kv_heads * head_dim], rotated
  std::vector<std::vector<T>> values;
};

// A run of new positions of one sequence.
template <typename T>
struct Span {
  Sequence<T>* sequence = nullptr;
  int64_t rows = 0;
};

class Decoder {
 public:
  Decoder(const Checkpoint& checkpoint, WeightTaker& weights);

  // The embedding of a token.
  template <typename T>
  void embed(int64_t id, std::span<T> out) const;
  // embeddings of all spans' new positions, one after the other -> their hidden states before the
  // last norm. The sequences grow; with `keep` false their keys and values are dropped again, which
  // is enough for a single pass.
  template <typename T>
  [[nodiscard]] BasicRows<T> forward(const Context& context,
                                     BasicRows<T> embeddings,
                                     const std::vector<Span<T>>& spans,
                                     bool keep) const;
  // hidden states -> logits
  template <typename T>
  [[nodiscard]] BasicRows<T> head(const Context& context, const BasicRows<T>& hidden) const;

  [[nodiscard]] int64_t hidden_size() const { return config_.hidden_size; }
  [[nodiscard]] int64_t vocab_size() const { return config_.vocab_size; }

 private:
  struct Layer {
    Norm input_layernorm;
    Linear q, k, v, o;  // q: qkv_proj where the projections are fused
    Norm q_norm, k_norm;
    Norm post_attention_layernorm;
    Linear gate, up, down;  // gate: gate_up_proj
  };
  template <typename T>
  struct Projections {
    BasicRows<T> q, k, v;
  };
  template <typename T>
  [[nodiscard]] Projections<T> projections(const Context& context,
                                           const Layer& layer,
                                           const BasicRows<T>& x) const;
  template <typename T>
  struct Rotation {  // [positions, inverse frequencies]
    std::vector<T> cos;
    std::vector<T> sin;
  };
  template <typename T>
  [[nodiscard]] Rotation<T> rotation(int64_t positions) const;
  template <typename T>
  void rotate(BasicRows<T>& x,
              const std::vector<Span<T>>& spans,
              const Rotation<T>& rotation) const;
  template <typename T>
  [[nodiscard]] BasicRows<T> attention(const Context& context,
                                       size_t index,
                                       const BasicRows<T>& x,
                                       const std::vector<Span<T>>& spans,
                                       const Rotation<T>& rotation,
                                       bool keep) const;

  TextConfig config_;
  DecoderFacts facts_;
  WeightPtr table_;
  std::vector<Layer> layers_;
  Norm norm_;
  Linear lm_head_;
};

}  // namespace lorapress::reference

#endif  // LORAPRESS_VERIFY_REFERENCE_TEXT_H_
