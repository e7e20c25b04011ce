// Generates text with a folder that press() made of a decoder alone, using ONNX Runtime on the CPU.
#ifndef LORAPRESS_GENERATE_H_
#define LORAPRESS_GENERATE_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "lorapress/caption.h"

namespace lorapress {

struct TextGeneratorOptions {
  // One of the folder's dtypes, or one per part: "prefill=q8,decoder=q4" (prefill is the first call, of
  // the whole prompt), or "auto" for the dtypes that measured fastest. Empty, or a part that is not
  // named: the folder's default.
  std::string dtype;
  unsigned threads = 0;     // 0: one per core
  std::string engine = {};  // as CaptionerOptions::engine
};

struct GeneratedText {
  std::vector<int64_t> ids;  // new tokens, the closing end-of-text included
  std::string text;          // of them, without special tokens
  double score = 0.0;        // of beam search, else 0
  int64_t prompt_tokens = 0;
  double prefill_ms = 0.0;  // the first call, of the prompt
  double decode_ms = 0.0;   // all further calls
};

class TextGenerator {
 public:
  // Loads the graphs and the tokenizer. Throws kNotFound, kInvalidFile, kRuntime; kUnsupported for a
  // folder whose model takes images.
  explicit TextGenerator(const std::filesystem::path& folder,
                         const TextGeneratorOptions& options = {});
  ~TextGenerator();
  TextGenerator(TextGenerator&&) noexcept;

  // What transformers' generate(input_ids) gives for options.prompt: of a chat model through its chat
  // template, of any other the text that is continued; an empty prompt is the folder's own. Throws
  // kInvalidArgument for a prompt without tokens, options out of range, or when prompt and
  // options.max_new_tokens exceed the model's positions; a length of the folder's own ends there. `on_text` is called
  // while the text grows, with beams once at the end.
  GeneratedText generate(const GenerateOptions& options, const TextFn& on_text = {}) const;

  // The settings that generate() uses with these options: those of the options, else the folder's.
  [[nodiscard]] GenerationSettings settings(const GenerateOptions& options = {}) const;

  // The dtypes that TextGeneratorOptions::dtype selected; the encoder's is empty.
  [[nodiscard]] GraphDtypes dtypes() const;
  // The engine that TextGeneratorOptions::engine selected.
  [[nodiscard]] UsedEngine engine() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lorapress

#endif  // LORAPRESS_GENERATE_H_
