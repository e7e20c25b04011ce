// A byte-level BPE tokenizer of any size, as tokenizers writes them.
#ifndef LORAPRESS_BENCH_BYTE_TOKENIZER_H_
#define LORAPRESS_BENCH_BYTE_TOKENIZER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace lorapress {

// tokenizer.json: 0 is <|endoftext|>, then the bytes, then as many pairs of bytes as the vocabulary
// has room for before `special_tokens`, which are the last.
Json tokenizer_json(int64_t vocab_size, const std::vector<std::string>& special_tokens);
Json tokenizer_config_json();

}  // namespace lorapress

#endif  // LORAPRESS_BENCH_BYTE_TOKENIZER_H_
