// What the reference and a folder's files are given for one image, each by its own settings: pixels and, where image
// features replace the prompt's image tokens, the prompt's ids.
#ifndef LORAPRESS_VERIFY_MODEL_INPUTS_H_
#define LORAPRESS_VERIFY_MODEL_INPUTS_H_

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bundles/manifest.h"
#include "checkpoint/tokenizer_files.h"
#include "runtime/generation/prompt.h"
#include "runtime/tiles.h"
#include "verify/reference.h"

namespace lorapress {

class ModelInputs {
 public:
  // Throws kInvalidFile, kMismatch. REQUIRES: all arguments outlive it; `preprocessing` is the checkpoint's own.
  ModelInputs(const std::filesystem::path& folder,
              const Manifest& manifest,
              const Checkpoint& checkpoint,
              const TokenizerFiles& files,
              const Preprocessing& preprocessing);

  struct OfImage {
    std::vector<float> checkpoint_pixels;  // of all tiles
    std::vector<float> folder_pixels;
    ReferencePrompt
        prompt;  // of the checkpoint's tokenizer, template and tiles; none for prefix models
    std::vector<int64_t> first_ids;  // of the folder's first call: the start token, or the prompt
    std::string fault;               // how the folder's prompt is another; empty: it is not
  };
  // For the prompt that `press` stored in the folder, else none.
  [[nodiscard]] OfImage of(const Image& image) const;
  // The same for the prompt of a decoder alone. REQUIRES: a folder of one.
  [[nodiscard]] OfImage of(const std::string& prompt) const;
  // A tile's pixels of which a part is seen, as of an image that does not fill its tile; empty for
  // models that take no mask.
  [[nodiscard]] std::vector<uint8_t> part_of_tile() const;

 private:
  struct Side {  // the checkpoint, or the folder
    Tokenizer tokenizer;
    std::optional<ChatTemplate> chat;
    int64_t image_token_id = -1;
    int64_t positions = 0;
    const Preprocessing* preprocessing;
  };
  [[nodiscard]] std::vector<int64_t> prompt_ids(const Side& side, const TiledPixels& pixels) const;

  const Manifest& manifest_;
  const Preprocessing& preprocessing_;
  bool masked_ = false;
  std::optional<Side> checkpoint_;  // both for placeholder folders and decoders alone only
  std::optional<Side> folder_;
};

// Faults of what a placeholder folder says about the image's places, in the manifest and in the files that stock
// clients read, and of its chat template; none for other folders.
std::vector<std::string> image_place_faults(const std::filesystem::path& folder,
                                            const Manifest& manifest,
                                            const Checkpoint& checkpoint,
                                            const TokenizerFiles& files);

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_MODEL_INPUTS_H_
