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
#include "runtime/graphs/client_calls.h"

namespace lorapress {

// Calls of a decoder whose cache is as the manifest describes it.
ClientCalls client_calls(const Manifest& manifest, const GraphSession& decoder);

// A dtype of a folder, and the engine that runs it: a key of runtime/engines.cc.
struct DtypeRun {
  std::string dtype;
  std::string engine;
  unsigned threads = 0;       // 0: one per core
  uint64_t most_weights = 0;  // as GraphSource::most_weights
};

// A role of the folder. Throws as open_folder_model().
std::unique_ptr<GraphSession> open_role(const std::filesystem::path& folder,
                                        const Manifest& manifest,
                                        const DtypeRun& run,
                                        const std::string& role);

// Throws kMismatch for a graph without the port. `where` is its file.
void require_port(const std::vector<GraphPort>& ports,
                  const std::string& name,
                  const std::string& where);

struct DecoderStep {
  std::vector<float> logits;  // of the last position in the output
  int64_t positions = 0;      // in the output; 1 is right
  std::vector<GraphTensor> cache;
};

class FolderModel {
 public:
  virtual ~FolderModel() = default;

  // pixel_values [3, height, width], or of all tiles -> image tokens, in the dtype the decoder takes.
  [[nodiscard]] virtual GraphTensor encode(std::span<const float> pixel_values) const = 0;
  // The same of one tile, of whose pixels only those in `seen` [height, width] are seen. REQUIRES: an
  // encoder that takes masks.
  [[nodiscard]] virtual GraphTensor encode_masked(std::span<const float> pixel_values,
                                                  std::span<const uint8_t> seen) const = 0;
  [[nodiscard]] virtual std::vector<GraphTensor> empty_cache() const = 0;
  // One call of the decoder; an empty cache makes it the first one, whose ids are those that the image stands with:
  // the start token, which the graph drops, or a prompt with the image's places. `cache` is not changed.
  [[nodiscard]] virtual DecoderStep step(std::span<const int64_t> ids,
                                         const GraphTensor& image,
                                         const std::vector<GraphTensor>& cache) const = 0;
};

// Loads all graphs. Throws kNotFound, kUnsupported (one that the engine does not know), kRuntime, kMismatch (a graph
// without the ports of its bundle).
// REQUIRES: `manifest` outlives it.
std::unique_ptr<FolderModel> open_folder_model(const std::filesystem::path& folder,
                                               const Manifest& manifest,
                                               const DtypeRun& run);

// What a call gave. Throws kMismatch for logits of another shape; `where` is the decoder's file.
DecoderStep decoder_step(ClientCalls::Step made,
                         const Manifest& manifest,
                         const std::string& where);

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_FOLDER_MODEL_H_
