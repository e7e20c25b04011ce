// The ids that a model is given: one of text alone, and one whose prompt has the image's places;
// web/src/generation/prompt.ts is its twin.
#ifndef LORAPRESS_RUNTIME_GENERATION_PROMPT_H_
#define LORAPRESS_RUNTIME_GENERATION_PROMPT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "lorapress/caption.h"

#include "runtime/generation/chat_template.h"
#include "runtime/generation/tokenizer.h"

namespace lorapress {

struct ImagePlaces {
  int64_t token_id = 0;   // of one position
  int64_t positions = 0;  // of an image that is one tile
  std::string text =
      {};  // what stands for the image, tiles and their marks; empty: the positions alone
};

// `chat` (may be null) makes the text of options.system and `prompt` (options.prompt, or the folder's
// own), unless options.raw_prompt; without it the image stands before the prompt, if the prompt has no
// place for one. Throws kInvalidArgument for a prompt with several images and a system message without a
// template, kMismatch where the tokenizer has no such token.
std::vector<int64_t> placeholder_ids(const Tokenizer& tokenizer,
                                     const ChatTemplate* chat,
                                     const ImagePlaces& image,
                                     const GenerateOptions& options,
                                     const std::string& prompt);

// The ids of tokenizer.apply_chat_template() for options.system and `prompt` as a user's message; with
// options.raw_prompt, or where `chat` is null, those of tokenizer(prompt), special tokens included. Throws
// kInvalidArgument for a system message without a template.
std::vector<int64_t> text_ids(const Tokenizer& tokenizer,
                              const ChatTemplate* chat,
                              const GenerateOptions& options,
                              const std::string& prompt);

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_GENERATION_PROMPT_H_
