// One dtype of a pressed folder, run as a client runs it: pixels, then one token after the other.
#ifndef LORAPRESS_VERIFY_FOLDER_MODEL_H_
#define LORAPRESS_VERIFY_FOLDER_MODEL_H_

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "bundles/manifest.h"
#include "runtime/ort/ort.h"

namespace lorapress {

// The .onnx file of a role ("encoder", "decoder"). Throws kNotFound for an unknown dtype (and lists
// the known ones), kUnsupported for a bundle without the role.
std::filesystem::path graph_path(const std::filesystem::path& folder,
                                 const Manifest& manifest,
                                 const std::string& dtype,
                                 const std::string& role);

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
  [[nodiscard]] std::vector<OrtTensor> empty_cache() const;
  // One call of the decoder; an empty cache makes it the first one, whose first id is the start
  // token that the graph drops. `cache` stays as it is.
  [[nodiscard]] DecoderStep step(std::span<const int64_t> ids,
                                 const OrtTensor& image,
                                 const std::vector<OrtTensor>& cache) const;

 private:
  [[nodiscard]] DType input_dtype(const std::string& name) const;

  const Manifest& manifest_;
  std::string where_;
  OrtSession encoder_;
  OrtSession decoder_;
  std::vector<std::string> past_;
  std::vector<std::string> wanted_;
  DType cache_dtype_;
  DType image_dtype_;
};

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_FOLDER_MODEL_H_
