// What stock transformers.js reads of a tokenizer's special tokens and chat template, which Python reads
// elsewhere.
#ifndef LORAPRESS_BUNDLES_SPECIAL_TOKENS_H_
#define LORAPRESS_BUNDLES_SPECIAL_TOKENS_H_

#include "base/json.h"
#include "checkpoint/tokenizer_files.h"

namespace lorapress {

// Whether a tokenizer.json's post-processor adds special tokens to a text, as a beginning-of-text.
bool adds_special_tokens(const Json& tokenizer);

// tokenizer_config.json for pipeline('text-generation'): with the chat template, which transformers.js
// reads here only, and with "add_bos_token" where the tokenizer adds special tokens and the file says
// nothing, since the pipeline adds none otherwise. Throws kInvalidFile.
Json pipeline_tokenizer_config(const TokenizerFiles& tokenizer);

}  // namespace lorapress

#endif  // LORAPRESS_BUNDLES_SPECIAL_TOKENS_H_
