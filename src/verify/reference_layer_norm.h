// Decoders with LayerNorm and absolute positions, and those with cross attention, for reference.cc:
// GPT2LMHeadModel, OPTForCausalLM, TrOCRForCausalLM and BlipTextLMHeadModel.
#ifndef LORAPRESS_VERIFY_REFERENCE_LAYER_NORM_H_
#define LORAPRESS_VERIFY_REFERENCE_LAYER_NORM_H_

#include <optional>

#include "verify/reference_text.h"

namespace lorapress::reference {

class LayerNormDecoder {
 public:
  static bool computes(std::string_view model_type);

  // Declares its tensors. REQUIRES: computes(model_type of checkpoint.text).
  LayerNormDecoder(const Checkpoint& checkpoint, WeightTaker& weights);

  // As of Decoder in reference_text.h; forward() adds the positions.
  template <typename T>
  void embed(int64_t id, std::span<T> out) const;
  template <typename T>
  [[nodiscard]] BasicRows<T> forward(const Context& context,
                                     BasicRows<T> embeddings,
                                     const std::vector<Span<T>>& spans,
                                     bool keep) const;
  template <typename T>
  [[nodiscard]] BasicRows<T> head(const Context& context, const BasicRows<T>& hidden) const;

  // The width of an embedding.
  [[nodiscard]] int64_t embedding_size() const { return embedding_size_; }
  [[nodiscard]] int64_t hidden_size() const { return hidden_; }
  [[nodiscard]] int64_t vocab_size() const { return vocab_size_; }

 private:
  struct Attention {
    // Layers whose outputs, side by side, are query, key and value; in cross attention key and value,
    // of the encoder's states.
    std::vector<Linear> inputs;
    Linear query;  // of cross attention
    Linear out;
    Norm norm;            // before it or behind it
    double factor = 1.0;  // of the scores, beside 1 / sqrt(head_dim)
  };
  struct Layer {
    Attention own;
    std::optional<Attention> cross;
    Linear fc1, fc2;
    Norm norm;  // of the feed-forward
  };

  void take_gpt2(const Checkpoint& checkpoint, WeightTaker& weights);
  void take_opt(const Checkpoint& checkpoint, WeightTaker& weights);
  void take_trocr(const Checkpoint& checkpoint, WeightTaker& weights);
  void take_blip(const Checkpoint& checkpoint, WeightTaker& weights);
  void make_sinusoids(int64_t positions, int64_t padding);
  [[nodiscard]] Norm take_norm(WeightTaker& weights, const std::string& name) const;

  template <typename T>
  void add_positions(BasicRows<T>& rows, const std::vector<Span<T>>& spans) const;
  template <typename T>
  [[nodiscard]] BasicRows<T> attention(const Context& context,
                                       const Attention& layer,
                                       size_t index,
                                       const BasicRows<T>& x,
                                       const std::vector<Span<T>>& spans,
                                       bool keep) const;
  template <typename T>
  void add_states(const Context& context,
                  const Attention& layer,
                  size_t index,
                  const std::vector<Span<T>>& spans) const;

  int64_t vocab_size_ = 0;
  int64_t embedding_size_ = 0;
  int64_t hidden_ = 0;
  int64_t heads_ = 0;
  double eps_ = 1e-5;
  std::string activation_;
  bool norm_first_ = true;
  bool affine_ = true;
  double embed_scale_ = 1.0;
  WeightPtr table_;
  WeightPtr positions_;              // [rows, hidden]
  int64_t position_offset_ = 0;      // the row of position 0
  std::optional<int64_t> unplaced_;  // a token whose row is the one before, wherever it stands
  std::optional<Linear> project_in_;
  std::optional<Norm> first_norm_;
  std::vector<Layer> layers_;
  std::optional<Norm> last_norm_;
  std::optional<Linear> project_out_;
  std::optional<Linear> transform_;  // BERT's, with the activation and last_norm_ behind it
  Linear head_;
};

}  // namespace lorapress::reference

#endif  // LORAPRESS_VERIFY_REFERENCE_LAYER_NORM_H_
