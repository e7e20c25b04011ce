// The engine over ONNX Runtime: the graphs of a folder with a decoder that has a cache, each a session.
#ifndef LORAPRESS_RUNTIME_ORT_ORT_DECODER_H_
#define LORAPRESS_RUNTIME_ORT_ORT_DECODER_H_

#include <filesystem>
#include <optional>
#include <span>

#include "bundles/manifest.h"
#include "runtime/engine/decoder.h"
#include "runtime/ort/kv_cache.h"
#include "runtime/ort/ort.h"

namespace lorapress {

class OrtDecoder : public Decoder {
 public:
  struct Files {
    std::filesystem::path encoder;  // empty: a decoder alone
    std::filesystem::path prefill;  // the decoder's first call; the same file is loaded once
    std::filesystem::path decoder;
    bool in_place_cache = false;       // of both decoders, as in the manifest
    std::filesystem::path embed = {};  // tokens to embeddings; empty where the decoder does it
  };
  // Throws kRuntime for a file that is no graph, kMismatch for one that does not match the manifest
  // and for two decoders that cannot share a cache.
  OrtDecoder(const Manifest& manifest, const Files& files, unsigned threads);

  [[nodiscard]] std::unique_ptr<EncodedImage> encode(
      std::span<const float> pixel_values) const override;
  [[nodiscard]] std::unique_ptr<Sequences> start(const SequencesSize& size) const override;

 private:
  friend class OrtSequences;
  // Types and shapes of a decoder's ports.
  struct Ports {
    Shape image_shape;  // of encoder_hidden_states, the batch left 1
    DType image_dtype = DType::kF32;
    DType logits_dtype = DType::kF32;
    CacheLayout cache;
  };
  static Ports check_decoder(const OrtSession& session,
                             const Manifest& manifest,
                             const std::filesystem::path& file,
                             bool embedded);
  void check_prefill(const Manifest& manifest, const Files& files);

  [[nodiscard]] const OrtSession& prefill() const { return prefill_ ? *prefill_ : decoder_; }

  // Sets encoder_ and what is known of its ports.
  void open_encoder(const Manifest& manifest, const Files& files, unsigned threads);

  std::optional<OrtSession> encoder_;  // none for a decoder alone
  OrtSession decoder_;
  // Embeddings of `ids`, in the decoder's dtype. REQUIRES: embed_.
  [[nodiscard]] OrtTensor embeddings(const OrtTensor& ids) const;

  std::optional<OrtSession> embed_;
  int64_t image_token_id_ = -1;
  bool masked_ = false;                // the encoder takes tiles and their mask
  std::string features_;               // the encoder's output
  std::optional<OrtSession> prefill_;  // set where it is another file
  Shape pixels_shape_;
  Ports ports_;
  int64_t vocab_size_ = 0;
};

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_ORT_ORT_DECODER_H_
