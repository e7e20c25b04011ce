// One dtype of a pressed folder, run as a client runs it: pixels, then one token after the other.
// Not through runtime/engine/decoder.h: verify has to see what the written graph does (for how many
// positions it gives logits, that its cache grows when it is fed back whole), and a mistake in how
// OrtDecoder shares, binds or branches caches must not look like a mistake of the files. Both share
// only names of ports and ways to open files.
#ifndef LORAPRESS_VERIFY_FOLDER_MODEL_H_
#define LORAPRESS_VERIFY_FOLDER_MODEL_H_

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bundles/manifest.h"
#include "runtime/ort/client_calls.h"

namespace lorapress {

// Calls of a decoder whose cache is as the manifest describes it.
ClientCalls client_calls(const Manifest& manifest, const OrtSession& decoder);

// Throws kMismatch for a graph without the port. `where` is its file.
void require_port(const std::vector<OrtPort>& ports,
                  const std::string& name,
                  const std::string& where);

struct DecoderStep {
  std::vector<float> logits;  // of the last position in the output
  int64_t positions = 0;      // in the output; 1 is right
  std::vector<OrtTensor> cache;
};

class FolderModel {
 public:
  virtual ~FolderModel() = default;

  // pixel_values [3, height, width], or of all tiles -> image tokens, in the dtype the decoder takes.
  [[nodiscard]] virtual OrtTensor encode(std::span<const float> pixel_values) const = 0;
  // The same of one tile, of whose pixels only those in `seen` [height, width] are seen. REQUIRES: an
  // encoder that takes masks.
  [[nodiscard]] virtual OrtTensor encode_masked(std::span<const float> pixel_values,
                                                std::span<const uint8_t> seen) const = 0;
  [[nodiscard]] virtual std::vector<OrtTensor> empty_cache() const = 0;
  // One call of the decoder; an empty cache makes it the first one, whose ids are those that the image stands with:
  // the start token, which the graph drops, or a prompt with the image's places. `cache` is not changed.
  [[nodiscard]] virtual DecoderStep step(std::span<const int64_t> ids,
                                         const OrtTensor& image,
                                         const std::vector<OrtTensor>& cache) const = 0;
};

// Loads all graphs. Throws kNotFound, kRuntime, kMismatch (a graph without the ports of its bundle).
// REQUIRES: `manifest` outlives it.
std::unique_ptr<FolderModel> open_folder_model(const std::filesystem::path& folder,
                                               const Manifest& manifest,
                                               const std::string& dtype,
                                               unsigned threads);

// What a call gave. Throws kMismatch for logits of another shape; `where` is the decoder's file.
DecoderStep decoder_step(ClientCalls::Step made,
                         const Manifest& manifest,
                         const std::string& where);

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_FOLDER_MODEL_H_
