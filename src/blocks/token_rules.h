// Rules that forbid or penalise tokens, as nodes: of a generation loop, or of a decoder that applies them to
// its own logits.
#ifndef LORAPRESS_BLOCKS_TOKEN_RULES_H_
#define LORAPRESS_BLOCKS_TOKEN_RULES_H_

#include <optional>
#include <string>
#include <vector>

#include "blocks/builder.h"

namespace lorapress {

// Rules that look back at the ids so far: RepetitionPenaltyLogitsProcessor, NoRepeatNGramLogitsProcessor and
// NoBadWordsLogitsProcessor of transformers (generation/logits_process.py), which come first in
// GenerationMixin._get_logits_processor.
struct HistoryRules {
  double repetition_penalty = 1.0;  // 1: off
  int64_t no_repeat_ngram_size = 0;
  std::vector<std::vector<int64_t>>
      bad_words;  // none empty, none a lone end token; ids inside the vocabulary
};
// A node or two for each position that is compared: the limit of an n-gram's and of a word's length.
inline constexpr int64_t kMostComparedTokens = 64;

// scores float [rows, 1, vocab] of the next token, ids int64 [rows, t] so far, t may be 0; ids outside the vocabulary are none
// that a score belongs to, and those below 0 stand in front of all others -> the scores after the rules.
// The score of a forbidden token is minus infinity. REQUIRES: no length above kMostComparedTokens.
Value apply_history_rules(const Builder& b,
                          const std::string& scope,
                          const HistoryRules& rules,
                          const Value& scores,
                          const Value& ids);

// The settings of the same names in transformers' generate(inputs_embeds=...), with all ids inside the
// vocabulary.
struct LoopRules {
  HistoryRules history;
  int64_t min_new_tokens = 0;  // until then `ends` are forbidden
  std::vector<int64_t> ends;
  std::optional<int64_t> forced_second;  // forced_bos_token_id: behind one id
  std::vector<int64_t> forced_last;      // forced_eos_token_id
  std::vector<int64_t> forbidden;
  std::vector<int64_t>
      forbidden_first;  // in the first iteration alone, in the second with forced_second
};

// The same for all rules, in the order of GenerationMixin._get_logits_processor; the loop's iteration and its most
// iterations are int64 scalars.
Value apply_rules(const Builder& b,
                  const std::string& scope,
                  const LoopRules& rules,
                  const Value& scores,
                  const Value& ids,
                  const Value& iteration,
                  const Value& max_new_tokens);

}  // namespace lorapress

#endif  // LORAPRESS_BLOCKS_TOKEN_RULES_H_
