// The project's own engine behind the seam: the graphs of a folder with a decoder that has a cache.
#ifndef LORAPRESS_RUNTIME_NATIVE_NATIVE_DECODER_H_
#define LORAPRESS_RUNTIME_NATIVE_NATIVE_DECODER_H_

#include <mutex>

#include "bundles/manifest.h"
#include "engine/decoder.h"
#include "runtime/engine/decoder.h"
#include "runtime/native/native_session.h"
#include "runtime/native/pool_workers.h"

namespace lorapress {

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
  mutable PoolWorkers workers_;
  engine::Decoder decoder_;
  // Memory of the encoder's runs, for one caller at a time; others make their own.
  mutable std::mutex encoding_;
  mutable engine::Run encoder_run_;
};

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_NATIVE_NATIVE_DECODER_H_
