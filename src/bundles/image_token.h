// The placeholder that stands for the image in a prompt.
#ifndef LORAPRESS_BUNDLES_IMAGE_TOKEN_H_
#define LORAPRESS_BUNDLES_IMAGE_TOKEN_H_

#include "base/json.h"
#include "checkpoint/checkpoint.h"
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
// For a checkpoint that brings a token of its own (Checkpoint::image_token_id): that token, and
// tokenizer.json as it is, whose processor's prompt it is. Else image_token(). Throws kInvalidFile, and
// kMismatch where the tokenizer's <image> has another id than the model's.
ImageToken image_token(const Checkpoint& checkpoint, const TokenizerFiles& tokenizer);

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_IMAGE_TOKEN_H_
