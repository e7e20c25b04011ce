// Tokens that were added to a tokenizer before training, and the rows that they add to embedding
// tables.
#ifndef LORAPRESS_CHECKPOINT_ADDED_TOKENS_H_
#define LORAPRESS_CHECKPOINT_ADDED_TOKENS_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace lorapress {

using Folders = std::vector<std::filesystem::path>;

// The number of table rows that the first tokenizer.json in the folders needs: its largest token id
// plus 1. Empty where no folder has one.
std::optional<int64_t> tokenizer_rows(const Folders& folders);

// Why tables of `after` rows cannot come from a base with `before` rows and added tokens; empty
// where they can. The tokenizer beside the adapter must know the base's tokens under their ids, and
// no token id beyond the last row. Fewer rows are accepted where the base had rows that no token
// uses. Without a tokenizer only more rows are accepted, up to twice as many.
std::string unexplained_rows(const std::filesystem::path& adapter,
                             const Folders& bases,
                             int64_t before,
                             int64_t after);

// True if the tokenizer beside the adapter extends the base's by more tokens and therefore replaces
// it (as in AutoPeftModel).
bool brings_tokens(const std::filesystem::path& adapter, const Folders& bases);

}  // namespace lorapress

#endif  // LORAPRESS_CHECKPOINT_ADDED_TOKENS_H_
