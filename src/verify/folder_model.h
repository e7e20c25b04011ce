// One dtype of a pressed folder, run as a client runs it: pixels, then one token after the other.
// Not through the seam of runtime/engine: verify has to see what the written graph does (how many
// positions it answers for, that its cache grows as a cache that is fed back whole), and a mistake
// in how OrtDecoder shares, binds or branches caches must not look like one of the files. What both
// share are names of ports and ways to open files.
#ifndef LORAPRESS_VERIFY_FOLDER_MODEL_H_
#define LORAPRESS_VERIFY_FOLDER_MODEL_H_

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "bundles/manifest.h"
#include "runtime/ort/client_calls.h"

namespace lorapress {

// Calls of a decoder that has the cache which the manifest says.
ClientCalls client_calls(const Manifest& manifest, const OrtSession& decoder);

struct DecoderStep {
  std::vector<float> logits;  // of the last position that the graph gave
  int64_t positions = 0;      // that it gave; 1 is right
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
  // token that the graph drops. `cache` stays as it is.
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
