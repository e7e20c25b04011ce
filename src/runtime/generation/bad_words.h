// Words that captions must not hold, from a text file to the token ids of bad_words_ids.
#ifndef LORAPRESS_RUNTIME_GENERATION_BAD_WORDS_H_
#define LORAPRESS_RUNTIME_GENERATION_BAD_WORDS_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/generation/tokenizer.h"

namespace lorapress {

struct BadWords {
  size_t words = 0;                       // lines that hold a word
  size_t without_tokens = 0;              // of them, words that the tokenizer drops
  std::vector<std::vector<int64_t>> ids;  // each sequence once
};

// `text` has a word or a phrase on each line, UTF-8; space around it and empty lines do not count. Each is
// tokenised as it stands and behind a space, without special tokens, as transformers' documentation of
// bad_words_ids has it (with and without add_prefix_space). `where` stands for the text in messages. Throws kInvalidFile for text
// that is not UTF-8 or holds no word, kMismatch for a token outside a vocabulary of `vocab_size`.
BadWords tokenized_bad_words(std::string_view text,
                             const Tokenizer& tokenizer,
                             int64_t vocab_size,
                             std::string_view where);

}  // namespace lorapress

#endif  // LORAPRESS_RUNTIME_GENERATION_BAD_WORDS_H_
