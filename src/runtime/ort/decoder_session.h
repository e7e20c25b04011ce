// The graphs of a transformers.js bundle, and a run of the decoder over several sequences.
#ifndef LORAPRESS_RUNTIME_ORT_DECODER_SESSION_H_
#define LORAPRESS_RUNTIME_ORT_DECODER_SESSION_H_

#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "bundles/manifest.h"
#include "runtime/ort/kv_cache.h"
#include "runtime/ort/ort.h"

namespace lorapress {

class DecoderSession {
 public:
  struct Files {
    std::filesystem::path encoder;
    std::filesystem::path prefill;  // the decoder's first call; the same file is loaded once
    std::filesystem::path decoder;
    bool in_place_cache = false;  // of both decoders, as the manifest has it
  };
  // Throws kRuntime for a file that is no graph, kMismatch for one that is not the manifest's and
  // for two decoders that cannot share a cache.
  DecoderSession(const Manifest& manifest, const Files& files, unsigned threads);

  // pixel_values [3, height, width] -> the image tokens, in the decoder's dtype.
  [[nodiscard]] OrtTensor encode(std::span<const float> pixel_values) const;

 private:
  friend class Decoding;
  // What a decoder's ports are like.
  struct Ports {
    Shape image_shape;  // of encoder_hidden_states, the batch left 1
    DType image_dtype = DType::kF32;
    DType logits_dtype = DType::kF32;
    CacheLayout cache;
  };
  static Ports check_decoder(const OrtSession& session,
                             const Manifest& manifest,
                             const std::filesystem::path& file);
  void check_prefill(const Manifest& manifest, const Files& files);

  [[nodiscard]] const OrtSession& prefill() const { return prefill_ ? *prefill_ : decoder_; }

  OrtSession encoder_;
  OrtSession decoder_;
  std::optional<OrtSession> prefill_;  // where it is another file
  Shape pixels_shape_;
  Ports ports_;
  int64_t vocab_size_ = 0;
};

// Sequences that go through the decoder together: `beams` rows for each of `images`, in this order.
class Decoding {
 public:
  struct Size {
    int64_t images = 1;
    int64_t beams = 1;
    int64_t prompt = 0;      // positions of image and text
    int64_t new_tokens = 0;  // at most
  };
  // REQUIRES: `session` outlives this. Throws kInvalidArgument for a size that no memory holds.
  Decoding(const DecoderSession& session, const Size& size);

  // Runs the first call of one image alone (`ids`: the start token, then the prompt) and gives its
  // rows what it left in the cache. After it, logits() of any of these rows are the next token's.
  // REQUIRES: each image once, before the first step().
  void prefill(int64_t image, const OrtTensor& image_tokens, std::span<const int64_t> ids);

  // Feeds one token to every row.
  void step(std::span<const int64_t> tokens);
  // The caller may write over them.
  [[nodiscard]] std::span<float> logits(int64_t row);

  // Row i goes on from what row parents[i] of the same image was. Rows move by a table; where one
  // row becomes several, the new tokens are copied, and image and prompt, which they share, are
  // not.
  void reorder(std::span<const int64_t> parents);

 private:
  // Binds where the logits of these slots go, and brings them to float32 after the run.
  void bind_logits(OrtBinding& binding, int64_t slot, int64_t slots);
  void read_logits(int64_t slot, int64_t slots);

  const DecoderSession* session_;
  Size size_;
  int64_t rows_;
  KvCache cache_;
  std::vector<int64_t> slots_;   // of each row
  std::vector<int64_t> tokens_;  // one per slot
  std::vector<float> logits_;    // [slots, vocab]
  std::vector<std::byte> half_logits_;
  OrtTensor images_;  // of the steps, which do not look at them
  OrtTensor tokens_tensor_;
  OrtBinding prefill_;
  OrtBinding step_;
};

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_ORT_DECODER_SESSION_H_
