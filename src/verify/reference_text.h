// LlamaForCausalLM, for reference.cc.
#ifndef LORAPRESS_VERIFY_REFERENCE_TEXT_H_
#define LORAPRESS_VERIFY_REFERENCE_TEXT_H_

#include "verify/reference_math.h"

namespace lorapress::reference {

// Keys and values of the positions that a sequence has behind it.
struct Sequence {
  int64_t length = 0;
  std::vector<std::vector<float>> keys;  // per layer [length, kv_heads * head_dim], rotated
  std::vector<std::vector<float>> values;
};

// A run of new positions of one sequence.
struct Span {
  Sequence* sequence = nullptr;
  int64_t rows = 0;
};

class Decoder {
 public:
  Decoder(const Checkpoint& checkpoint, WeightTaker& weights);

  // The embedding of a token.
  void embed(int64_t id, std::span<float> out) const;
  // embeddings of all spans' new positions, one after the other -> their hidden states before the
  // last norm. The sequences grow; with `keep` false their keys and values are let go again, which
  // is enough for one whole pass.
  [[nodiscard]] Rows forward(const Context& context,
                             Rows embeddings,
                             const std::vector<Span>& spans,
                             bool keep) const;
  // hidden states -> logits
  [[nodiscard]] Rows head(const Context& context, const Rows& hidden) const;

  [[nodiscard]] int64_t hidden_size() const { return config_.hidden_size; }
  [[nodiscard]] int64_t vocab_size() const { return config_.vocab_size; }

 private:
  struct Layer {
    Norm input_layernorm;
    Linear q, k, v, o;
    Norm post_attention_layernorm;
    Linear gate, up, down;
  };
  struct Rotation {  // [positions, head_dim / 2]
    std::vector<float> cos;
    std::vector<float> sin;
  };
  [[nodiscard]] Rotation rotation(int64_t positions) const;
  void rotate(Rows& x, const std::vector<Span>& spans, const Rotation& rotation) const;
  [[nodiscard]] Rows attention(const Context& context,
                               size_t index,
                               const Rows& x,
                               const std::vector<Span>& spans,
                               const Rotation& rotation,
                               bool keep) const;

  TextConfig config_;
  std::vector<double> inverse_frequencies_;
  WeightPtr table_;
  std::vector<Layer> layers_;
  Norm norm_;
  Linear lm_head_;
};

}  // namespace lorapress::reference

#endif  // LORAPRESS_VERIFY_REFERENCE_TEXT_H_
