// The project's own engine behind the seam: the graphs of a folder with a decoder that has a cache.
#ifndef LORAPRESS_RUNTIME_NATIVE_NATIVE_DECODER_H_
#define LORAPRESS_RUNTIME_NATIVE_NATIVE_DECODER_H_

#include <mutex>
#include <optional>

#include "bundles/manifest.h"
#include "graph/ports.h"
#include "runtime/engine/decoder.h"
#include "runtime/native/native_session.h"

namespace lorapress {

// Where one tensor of the cache goes in and comes out.
struct NativeCachePort {
  int past = -1;     // inputs of the graph
  int present = -1;  // outputs
  bool in_place = false;
  bool encoder = false;
  int64_t heads = 0;
  int64_t width = 0;
};

class NativeDecoder : public Decoder {
 public:
  struct Files {
    std::filesystem::path encoder;  // empty: a decoder alone
    std::filesystem::path prefill;  // the decoder's first call; the same file is loaded once
    std::filesystem::path decoder;
    std::filesystem::path embed;  // tokens to embeddings; empty where the decoder does it
  };
  // Throws kUnsupported for graphs that the engine does not know, kInvalidFile and kMismatch for those
  // that are no graphs or not the manifest's.
  NativeDecoder(const Manifest& manifest, const Files& files, unsigned threads);

  [[nodiscard]] std::unique_ptr<EncodedImage> encode(
      std::span<const float> pixel_values) const override;
  [[nodiscard]] std::unique_ptr<Sequences> start(const SequencesSize& size) const override;

 private:
  friend class NativeSequences;

  // The graph of the first or of later calls, and where its inputs and outputs are.
  struct Graph {
    const NativeSession* session = nullptr;
    int ids = -1;    // or embeddings
    int image = -1;  // encoder_hidden_states
    int mask = -1;   // attention_mask
    int logits = -1;
    std::vector<NativeCachePort> cache;
  };
  void open_encoder(const Manifest& manifest, const Files& files);
  Graph decoder_graph(const NativeSession& session, const Manifest& manifest) const;
  [[nodiscard]] engine::Tensor embeddings(engine::Run& run, const engine::Tensor& ids) const;

  mutable PoolWorkers workers_;
  std::optional<NativeSession> encoder_;  // none for a decoder alone
  std::optional<NativeSession> embed_;
  std::optional<NativeSession> prefill_;  // set where it is another file
  NativeSession decoder_;
  Graph first_;
  Graph later_;
  int64_t image_token_id_ = -1;
  int64_t image_tokens_ = 0;
  int64_t vocab_size_ = 0;
  int64_t pixels_ = 0;  // values of an image or a tile
  engine::Dims pixels_dims_;
  int pixels_port_ = -1;
  int mask_port_ = -1;  // the encoder takes tiles and their mask
  int features_ = -1;
  // Memory of the encoder's runs, for one caller at a time; others make their own.
  mutable std::mutex encoding_;
  mutable engine::Run encoder_run_;
};

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_NATIVE_NATIVE_DECODER_H_
