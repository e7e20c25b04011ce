// Rows that grow together by one token a step, of one or several images.
#ifndef LORAPRESS_ENGINE_DECODER_SEQUENCES_H_
#define LORAPRESS_ENGINE_DECODER_SEQUENCES_H_

#include "engine/decoder.h"

namespace lorapress::engine {

// Rows of image i are i * beams ... (i + 1) * beams - 1. One thread at a time.
class Sequences {
 public:
  // `room`: how many steps are expected; more are possible. REQUIRES: decoder.ready(), and that it outlives them.
  Sequences(const Decoder& decoder, int64_t images, int64_t beams, int64_t room);

  // The first call of one image (null: none); all its rows begin with it. REQUIRES: decoder.misfit() is empty; as many
  // positions for each image; each image once, before the first step.
  void prefill(int64_t image, const Image* encoded, std::span<const int64_t> ids);
  // Row i becomes what row parents[i] was, and then tokens[i]; a row continues one of its image. With one
  // image there may be another number of rows than before. REQUIRES: every image has begun.
  void step(std::span<const int64_t> parents, std::span<const int64_t> tokens);

  [[nodiscard]] int64_t rows() const { return images_ * beams_; }
  // float32 [vocab_size] for the next token. The caller may write over it; valid until the next step.
  [[nodiscard]] float* logits(int64_t row) {
    return logits_.data() + slots_[static_cast<size_t>(row)] * decoder_->facts().vocab_size;
  }
  // Those of all rows in their order: float32 [rows, vocab_size].
  [[nodiscard]] float* all_logits();
  // Bytes of caches and buffers.
  [[nodiscard]] size_t bytes() const;

 private:
  // One tensor of the cache. In place: positions from shared_ on, [slots, heads, capacity, width], and of each image what is
  // before them, [images, heads, prefix, width], keys in tiles as soon as the image has begun. Else all positions, [slots, heads, length, width].
  struct Cache {
    Tensor tensor;
    Tensor prefix;
  };

  void reserve(int64_t capacity);
  void renumber(std::span<const int64_t> parents);
  void branch(std::span<const int64_t> parents);
  void call(const DecoderGraph& graph, Part part, Run& run, int64_t slot, int64_t slots);
  [[nodiscard]] Tensor past(size_t port, int64_t slot, int64_t slots) const;
  void keep(size_t port, Tensor present, int64_t slot);
  void keep_prefix(size_t port, int64_t image);
  void copy_slot(size_t port, int64_t from, int64_t to, int64_t first);
  // A cache of `capacity` positions (in place) whose slot i is sources[i] of the old one.
  void rebuild(size_t port, std::span<const int64_t> sources, int64_t capacity);
  [[nodiscard]] Tensor embeddings(const Tensor& ids);
  [[nodiscard]] Tensor prompt_embeddings(const Tensor& ids, const Image* image);
  [[nodiscard]] const CachePort& port(size_t index) const { return decoder_->later_.cache[index]; }

  const Decoder* decoder_;
  int64_t images_;
  int64_t beams_;
  int64_t room_;
  int64_t prefix_ = 0;  // positions of image and prompt
  int64_t shared_ = 0;  // of them, those that all rows of an image read in one place
  int64_t length_ = 0;
  int64_t capacity_ = 0;         // positions behind shared_ for which there is room
  std::vector<int64_t> slots_;   // of each row
  std::vector<int64_t> tokens_;  // of each slot
  std::vector<float> logits_;    // [slots, vocab_size]
  Dims image_dims_;
  std::vector<float> blank_;    // in place of images in steps, which do not read them
  std::vector<int64_t> ones_;   // attention_mask of rows without padding
  std::vector<float> ordered_;  // the same of the rows, where slots have another order
  Pool memory_{SIZE_MAX, Pool::Blocks::kFreed};  // outlives runs, which a refusal leaves with feeds
  Run run_;
  std::optional<Run> first_run_;  // of the first call: what it needs is of no use to the steps
  Run embed_run_;
  std::vector<Cache> cache_;
  std::vector<Tensor> feeds_;
  std::vector<Tensor> results_;
};

}  // namespace lorapress::engine

#endif  // LORAPRESS_ENGINE_DECODER_SEQUENCES_H_
