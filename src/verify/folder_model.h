// One dtype of a pressed folder, run as a client runs it: pixels, then one token after the other.
// Not through runtime/engine/decoder.h: verify has to see what the written graph does (for how many
// positions it gives logits, that its cache grows when it is fed back whole), and a mistake in how
// OrtDecoder shares, binds or branches caches must not look like a mistake of the files. Both share
// only names of ports and ways to open files.
#ifndef LORAPRESS_VERIFY_FOLDER_MODEL_H_
#define LORAPRESS_VERIFY_FOLDER_MODEL_H_

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "bundles/manifest.h"
#include "runtime/ort/client_calls.h"

namespace lorapress {

// Calls of a decoder whose cache is as the manifest describes it.
ClientCalls client_calls(const Manifest& manifest, const OrtSession& decoder);

struct DecoderStep {
  std::vector<float> logits;  // of the last position in the output
  int64_t positions = 0;      // in the output; 1 is right
  std::vector<OrtTensor> cache;
};

class FolderModel {
 public:
  // Loads both graphs. Throws kNotFound, kRuntime, kMismatch (a graph without the ports of
  // bundles/transformers_js.cc). REQUIRES: `manifest` outlives it.
  FolderModel(const std::filesystem::path& folder,
              const Manifest& manifest,
              const std::string& dtype,
              unsigned threads);

  // pixel_values [3, height, width] -> image tokens, in the dtype the decoder takes.
  [[nodiscard]] OrtTensor encode(std::span<const float> pixel_values) const;
  [[nodiscard]] std::vector<OrtTensor> empty_cache() const { return calls_.empty_cache(1); }
  // One call of the decoder; an empty cache makes it the first one, whose first id is the start
  // token that the graph drops. `cache` is not changed.
  [[nodiscard]] DecoderStep step(std::span<const int64_t> ids,
                                 const OrtTensor& image,
                                 const std::vector<OrtTensor>& cache) const;

 private:
  const Manifest& manifest_;
  std::string where_;
  OrtSession encoder_;
  OrtSession decoder_;
  ClientCalls calls_;
  DType image_dtype_;
};

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_FOLDER_MODEL_H_
