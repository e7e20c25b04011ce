// The bundles "llava" and "smolvlm", run as transformers.js runs them: image features replace rows of the
// prompt's embeddings.
#ifndef LORAPRESS_VERIFY_FOLDER_PLACEHOLDER_H_
#define LORAPRESS_VERIFY_FOLDER_PLACEHOLDER_H_

#include <string>
#include <vector>

#include "verify/folder_model.h"

namespace lorapress {

// One call of the vision encoder for each tile of `pixel_values`; the outputs `wanted` of each. A
// graph that takes a mask gets `seen` [height, width], or where that is empty a mask of all pixels.
std::vector<std::vector<GraphTensor>> encode_tiles(const GraphSession& encoder,
                                                   const Manifest& manifest,
                                                   std::span<const float> pixel_values,
                                                   const std::vector<std::string>& wanted,
                                                   std::span<const uint8_t> seen = {});

// Embeddings [1, ids, hidden] by the graph embed_tokens, where `image` is given with its rows in place of the
// image tokens. Throws kMismatch where these are not as many.
GraphTensor embed_prompt(const GraphSession& embed,
                         const Manifest& manifest,
                         std::span<const int64_t> ids,
                         const GraphTensor* image,
                         DType dtype);

class PlaceholderModel : public FolderModel {
 public:
  PlaceholderModel(const std::filesystem::path& folder,
                   const Manifest& manifest,
                   const DtypeRun& run);

  [[nodiscard]] GraphTensor encode(std::span<const float> pixel_values) const override;
  [[nodiscard]] GraphTensor encode_masked(std::span<const float> pixel_values,
                                          std::span<const uint8_t> seen) const override;
  [[nodiscard]] std::vector<GraphTensor> empty_cache() const override {
    return calls_.empty_cache(1);
  }
  [[nodiscard]] DecoderStep step(std::span<const int64_t> ids,
                                 const GraphTensor& image,
                                 const std::vector<GraphTensor>& cache) const override;

 private:
  [[nodiscard]] GraphTensor features(std::span<const float> pixel_values,
                                     std::span<const uint8_t> seen) const;

  const Manifest& manifest_;
  std::string where_;
  std::unique_ptr<GraphSession> encoder_;
  std::unique_ptr<GraphSession> embed_;
  std::unique_ptr<GraphSession> decoder_;
  ClientCalls calls_;
  DType embeds_dtype_;
};

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_FOLDER_PLACEHOLDER_H_
