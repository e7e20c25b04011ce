// Captions images with a folder that press() wrote, using ONNX Runtime on the CPU.
#ifndef LORAPRESS_CAPTION_H_
#define LORAPRESS_CAPTION_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lorapress/error.h"
#include "lorapress/generation_settings.h"

namespace lorapress {

// What computes the graphs.
struct UsedEngine {
  std::string name;     // "ONNX Runtime", "LoraPress"
  std::string version;  // of its library
  std::string note;     // why "auto" took another engine than the first it tried, else empty
};

struct CaptionerOptions {
  // One of the folder's dtypes, or one per part: "encoder=q8,prefill=q8,decoder=q4" (prefill is the
  // decoder's first call, named or as decoder), or "auto" for the dtypes that measured fastest.
  // Empty, or a part that is not named: the folder's default.
  std::string dtype;
  unsigned threads = 0;  // 0: one per core
  // "native": the project's own engine, docs/engine.md; "ort": ONNX Runtime; "auto": the first, and ONNX
  // Runtime for graphs that it does not know. Empty: "auto".
  std::string engine = {};
  // How many groups of images caption_files() works on at a time, each on threads / at_once of the threads: with one
  // thread for each group no processor waits for another. 0: as many as threads.
  unsigned at_once = 1;
};

// An absent option takes the folder's own setting. Sampling and beams exclude each other: options
// with sampling switch off the folder's beams, options with beams its sampling.
struct GenerateOptions : GenerationSettings {
  // Text after the image (where the model takes one), before the generated text; of a chat model the
  // user's message, which goes through the folder's chat template. Empty: the folder's own prompt, if press() stored one.
  std::string prompt;
  std::string system;       // a chat model's system message; empty: none
  bool raw_prompt = false;  // the prompt as it is, without the chat template
  uint32_t seed = 0;        // the random state of every image starts with it
};

// Throws kInvalidArgument for a number out of range, with the name and range of the option.
void check_options(const GenerateOptions& options);

struct Caption {
  std::vector<int64_t> ids;  // generated tokens, the closing end-of-text included
  std::string text;          // without special tokens
  double score = 0.0;        // of beam search, else 0
  double encode_ms = 0.0;    // pixels to image tokens
  double prefill_ms = 0.0;   // first call of the decoder
  double decode_ms = 0.0;    // all further calls; of a batch, this image's share
};

// The bytes of an image file that is in memory.
struct ImageBytes {
  std::span<const std::byte> bytes;
  std::string name;  // of the file, for errors
};

// Pixels in memory: 8-bit RGB [height, width, 3], upright. Sample [y, x, c] is at
// data + y * row_stride + x * column_stride + c * channel_stride; a stride may be negative.
struct ImagePixels {
  const uint8_t* data = nullptr;
  int64_t height = 0;
  int64_t width = 0;
  ptrdiff_t row_stride = 0;
  ptrdiff_t column_stride = 3;
  ptrdiff_t channel_stride = 1;
};

// Pieces of text as they come, never ending inside a UTF-8 character.
using TextFn = std::function<void(std::string_view piece)>;

// The dtype that computes each part of a caption.
struct GraphDtypes {
  std::string encoder;
  std::string prefill;  // the decoder's first call
  std::string decoder;
};

class Captioner {
 public:
  // Loads the graphs and the tokenizer. Throws kNotFound, kInvalidFile, kRuntime.
  explicit Captioner(const std::filesystem::path& folder, const CaptionerOptions& options = {});
  ~Captioner();
  Captioner(Captioner&&) noexcept;

  // Throws for a file that is not an image; kInvalidArgument for options out of range, or when
  // image, prompt and new tokens exceed the model's positions. `on_text` is called while the text
  // grows, with beams once at the end.
  Caption caption(const std::filesystem::path& image,
                  const GenerateOptions& options = {},
                  const TextFn& on_text = {}) const;

  // The same from pixel_values [3, height, width], preprocessed already.
  Caption caption_pixels(std::span<const float> pixel_values,
                         const GenerateOptions& options = {},
                         const TextFn& on_text = {}) const;
  // Several images decoded together, which is faster than one call for each image and gives the
  // same captions.
  std::vector<Caption> caption_batch(std::span<const std::vector<float>> pixel_values,
                                     const GenerateOptions& options = {}) const;
  // An image file as pixel_values. Where the folder splits images into several tiles: [tiles, 3,
  // height, width] and then the number of rows and of columns, which caption_pixels() takes as well.
  [[nodiscard]] std::vector<float> load_pixels(const std::filesystem::path& image) const;
  [[nodiscard]] std::vector<float> load_pixels(const ImageBytes& image) const;
  // Throws kInvalidArgument for no pixels or more than 200 million.
  [[nodiscard]] std::vector<float> load_pixels(const ImagePixels& image) const;

  // The settings that caption() uses with these options: those of the options, else the folder's.
  [[nodiscard]] GenerationSettings settings(const GenerateOptions& options = {}) const;

  // The dtypes that CaptionerOptions::dtype selected.
  [[nodiscard]] GraphDtypes dtypes() const;
  // The engine that CaptionerOptions::engine selected.
  [[nodiscard]] UsedEngine engine() const;
  // As CaptionerOptions::at_once, at least 1.
  [[nodiscard]] unsigned at_once() const;

  // height and width of pixel_values.
  [[nodiscard]] int64_t height() const;
  [[nodiscard]] int64_t width() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lorapress

#endif  // LORAPRESS_CAPTION_H_
