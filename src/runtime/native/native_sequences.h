// Rows that grow in the native engine.
#ifndef LORAPRESS_RUNTIME_NATIVE_NATIVE_SEQUENCES_H_
#define LORAPRESS_RUNTIME_NATIVE_NATIVE_SEQUENCES_H_

#include "runtime/engine/slots.h"
#include "runtime/native/native_decoder.h"

namespace lorapress {

struct NativeImage : EncodedImage {
  std::vector<float> features;  // [tiles * image tokens, width]
  int64_t width = 0;
};

class NativeSequences : public Sequences {
 public:
  NativeSequences(const NativeDecoder& decoder, const SequencesSize& size);

  void prefill(int64_t image, const EncodedImage& encoded, std::span<const int64_t> ids) override;
  void step(std::span<const int64_t> parents, std::span<const int64_t> tokens) override;
  [[nodiscard]] std::span<float> logits(int64_t row) override;

 private:
  using Graph = NativeDecoder::Graph;

  void call(const Graph& graph, engine::Run& run, int64_t slot, int64_t slots);
  // The cache as an input of a call for these slots.
  [[nodiscard]] engine::Tensor past(size_t port, int64_t slot, int64_t slots) const;
  void keep(size_t port, engine::Tensor present, int64_t slot, int64_t slots);
  void copy_slot(size_t port, int64_t from, int64_t to, int64_t first);
  [[nodiscard]] engine::Tensor prompt_embeddings(const engine::Tensor& ids,
                                                 const NativeImage& image);

  const NativeDecoder* decoder_;
  SequencesSize size_;
  int64_t rows_;
  int64_t capacity_;
  int64_t length_ = 0;
  SlotTable slots_;
  std::vector<int64_t> tokens_;  // one per slot
  std::vector<float> logits_;    // [slots, vocab]
  std::vector<float> images_;    // for the steps, which do not read them
  std::vector<int64_t> ones_;    // attention_mask of rows without padding
  engine::Run first_run_;
  engine::Run run_;
  engine::Run embed_run_;
  engine::Pool memory_;
  std::vector<engine::Tensor>
      cache_;  // in place: [rows, heads, capacity, width]; else [.., length, ..]
  std::vector<engine::Tensor> feeds_;
  std::vector<engine::Tensor> results_;
};

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_NATIVE_NATIVE_SEQUENCES_H_
