// Tokens that were added to a tokenizer before training, and with them rows of embedding tables.
#ifndef LORAPRESS_CHECKPOINT_ADDED_TOKENS_H_
#define LORAPRESS_CHECKPOINT_ADDED_TOKENS_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace lorapress {

using Folders = std::vector<std::filesystem::path>;

// The rows that the tokens of the first folder with a tokenizer.json need: the largest id plus 1.
std::optional<int64_t> tokenizer_rows(const Folders& folders);

// Why tables of `after` rows cannot be those of a base with `before` rows and some tokens more;
// empty where they can. The tokenizer beside the adapter must know the base's tokens under their
// ids, and no token behind the last row. Fewer rows are right where the base had rows that no
// token uses. Without a tokenizer only more rows are believed, up to twice as many.
std::string unexplained_rows(const std::filesystem::path& adapter,
                             const Folders& bases,
                             int64_t before,
                             int64_t after);

// Whether the tokenizer beside the adapter is the base's and has more tokens, so that it is the one
// to use (as AutoPeftModel takes it).
bool brings_tokens(const std::filesystem::path& adapter, const Folders& bases);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_ADDED_TOKENS_H_
