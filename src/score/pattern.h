// Patterns of a lexer, run in time that grows with the text and not with the number of ways to match it.
#ifndef LORAPRESS_SCORE_PATTERN_H_
#define LORAPRESS_SCORE_PATTERN_H_

#include <bitset>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lorapress {

// Whether a code point is a letter to the tokenizer of captions (score/caption_tokens.h).
bool is_caption_letter(char32_t code);

// Characters, which match both cases of ASCII; [classes], which do not; \ before a character; . for any
// character; ( ) | * + ? and {n} {n,m}. In classes \l is a letter, \a one that is no accent by itself, \u a capital of ASCII, Latin-1, Greek or
// Cyrillic, \d a digit, \s a blank, \q a straight or right apostrophe, \k one of any kind, \n a
// line break; outside of classes, too.
class Pattern {
 public:
  // REQUIRES: a pattern of this program; a wrong one is a defect.
  explicit Pattern(std::string_view source);

  // Every place where a match that begins at `begin` can end, in order; not `begin` itself.
  [[nodiscard]] std::vector<size_t> ends(std::u32string_view text, size_t begin) const;

 private:
  friend class PatternParser;
  struct Class {
    std::bitset<128> ascii;
    bool letters = false;
    bool plain_letters = false;
    bool capitals = false;
    bool blanks = false;
    bool quotes = false;
    bool left_quotes = false;
    bool negated = false;
    [[nodiscard]] bool has(char32_t code) const;
  };
  struct State {  // takes one character of `chars`, or is a fork where chars < 0
    int chars = -1;
    int next = -1;
    int other = -1;
  };
  std::vector<Class> classes_;
  std::vector<State> states_;
  int start_ = -1;
  int accept_ = -1;
};

}  // namespace lorapress

#endif  // LORAPRESS_SCORE_PATTERN_H_
