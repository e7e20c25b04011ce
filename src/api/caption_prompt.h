// What a decoder's first call gets of a folder that captions images.
#ifndef LORAPRESS_API_CAPTION_PROMPT_H_
#define LORAPRESS_API_CAPTION_PROMPT_H_

#include <cstdint>
#include <vector>

#include "lorapress/caption.h"

#include "bundles/manifest.h"
#include "runtime/generation/chat_template.h"
#include "runtime/generation/tokenizer.h"

namespace lorapress {

// The start token and the prompt, or, where image features replace tokens, the prompt with the image's tokens. `chat` may be
// null; `rows` and `columns` are those of an image's tiles (runtime/tiles.h). Throws kInvalidArgument for a system message
// without a template, kMismatch for a token that the model does not know.
std::vector<int64_t> caption_first_ids(const Manifest& manifest,
                                       const Tokenizer& tokenizer,
                                       const ChatTemplate* chat,
                                       const GenerateOptions& options,
                                       int64_t rows,
                                       int64_t columns);

}  // namespace lorapress

#endif  // LORAPRESS_API_CAPTION_PROMPT_H_
