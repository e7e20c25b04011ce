// The lexer's rules of caption_tokens.h.
#ifndef LORAPRESS_SCORE_CAPTION_RULES_H_
#define LORAPRESS_SCORE_CAPTION_RULES_H_

#include <optional>
#include <span>

#include "score/pattern.h"

namespace lorapress {

// How the token's text is written.
enum class TokenForm {
  kText,         // as it stands, without soft hyphens
  kBlanks,       // its blanks are no-break spaces
  kBrackets,     // round brackets are -LRB- and -RRB-, blanks as above
  kEntities,     // &amp; is &, &lt; is <, &gt; is >
  kApostrophes,  // straight ones
  kSkipped,      // a token that is always removed: quotes, dots, dashes
};

// Of all rules that match, the one whose match with what is looked ahead is longest counts, of these the first.
struct TokenRule {
  Pattern text;
  std::optional<Pattern> ahead;  // what has to follow, without being part of the token
  size_t left = 0;               // so many characters of the end are left for the next token
  TokenForm form = TokenForm::kText;
};

std::span<const TokenRule> token_rules_of_captions();

}  // namespace lorapress

#endif  // LORAPRESS_SCORE_CAPTION_RULES_H_
