// Captions images with a folder that press() wrote, by ONNX Runtime on the CPU.
#ifndef LORAPRESS_CAPTION_H_
#define LORAPRESS_CAPTION_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lorapress/error.h"

namespace lorapress {

struct CaptionerOptions {
  std::string dtype;     // empty: the folder's default
  unsigned threads = 0;  // 0: one per core
};

struct GenerateOptions {
  int64_t max_new_tokens = 0;  // 0: the folder's own setting
  std::string prompt;          // text after the image, before what is generated
};

struct Caption {
  std::vector<int64_t> ids;  // generated tokens, the closing end-of-text included
  std::string text;          // without special tokens
  double encode_ms = 0.0;    // pixels to image tokens
  double prefill_ms = 0.0;   // first call of the decoder
  double decode_ms = 0.0;    // all further calls
};

// Pieces of text as they come, never ending inside a UTF-8 character.
using TextFn = std::function<void(std::string_view piece)>;

class Captioner {
 public:
  // Loads both graphs and the tokenizer. Throws kNotFound, kInvalidFile, kRuntime.
  explicit Captioner(const std::filesystem::path& folder, const CaptionerOptions& options = {});
  ~Captioner();
  Captioner(Captioner&&) noexcept;

  // Greedy decoding. Throws for a file that is no image, and kInvalidArgument when image, prompt
  // and new tokens do not fit the model's positions.
  Caption caption(const std::filesystem::path& image,
                  const GenerateOptions& options = {},
                  const TextFn& on_text = {}) const;
  // The same from pixel_values [3, height, width], preprocessed already.
  Caption caption_pixels(std::span<const float> pixel_values,
                         const GenerateOptions& options = {},
                         const TextFn& on_text = {}) const;

  // height and width of pixel_values.
  [[nodiscard]] int64_t height() const;
  [[nodiscard]] int64_t width() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lorapress

#endif  // LORAPRESS_CAPTION_H_
