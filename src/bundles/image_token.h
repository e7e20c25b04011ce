// The placeholder that stands for the image in a prompt.
#ifndef LORAPRESS_BUNDLES_IMAGE_TOKEN_H_
#define LORAPRESS_BUNDLES_IMAGE_TOKEN_H_

#include "base/json.h"
#include "checkpoint/tokenizer_files.h"

namespace lorapress {

inline constexpr const char* kImageToken = "<image>";

struct ImageToken {
  int64_t id = 0;  // the tokenizer's own <image> token, else the next free id
  Json tokenizer;  // tokenizer.json with the token, without steps that add tokens to a prompt
  bool dropped_post_processor = false;
};

// Throws kInvalidFile.
ImageToken image_token(const TokenizerFiles& tokenizer);

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_IMAGE_TOKEN_H_
