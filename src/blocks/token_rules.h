// Rules that forbid or penalise tokens, as nodes of a generation loop.
#ifndef LORAPRESS_BLOCKS_TOKEN_RULES_H_
#define LORAPRESS_BLOCKS_TOKEN_RULES_H_

#include <string>
#include <vector>

#include "blocks/builder.h"

namespace lorapress {

// The settings of the same names in transformers' generate(), with all ids inside the vocabulary.
struct LoopRules {
  double repetition_penalty = 1.0;  // 1: off
  int64_t min_new_tokens = 0;       // until then `ends` are forbidden
  std::vector<int64_t> ends;
  std::vector<int64_t> forbidden;
  std::vector<int64_t> forbidden_first;  // in the first iteration alone
};

// scores float32 [rows, 1, vocab] of the next token, ids int64 [rows, t] so far, the loop's
// iteration int64 scalar -> the scores after the rules. The score of a forbidden token is minus
// infinity.
Value apply_rules(const Builder& b,
                  const std::string& scope,
                  const LoopRules& rules,
                  const Value& scores,
                  const Value& ids,
                  const Value& iteration);

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_TOKEN_RULES_H_
