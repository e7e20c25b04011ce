// Patterns of a lexer, which asks for every end of a match and not for one.
#ifndef LORAPRESS_SCORE_PATTERN_H_
#define LORAPRESS_SCORE_PATTERN_H_

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

namespace lorapress {

// Whether a code point is a letter to the tokenizer of captions (score/caption_tokens.h).
bool is_caption_letter(char32_t code);

// A pattern of PCRE2 over code points, by its DFA matcher, which finds all matches at a place and does
// not backtrack. Characters match both cases of ASCII, [classes] do not; a dot is any character. \l is a
// letter, \a one that is no accent by itself, \u a capital of ASCII, Latin-1, Greek or Cyrillic, \d a
// digit, \s a blank, \q a straight or right apostrophe, \k one of any kind, \n a line break, in classes and
// outside of them.
class Pattern {
 public:
  // REQUIRES: a pattern of this program; a wrong one is a defect (kRuntime).
  explicit Pattern(std::string_view source);

  // Every place where a match that begins at `begin` can end, in order; not `begin` itself. Throws kRuntime
  // where the matcher gives up, which texts of the tokenizer's length do not bring about.
  [[nodiscard]] std::vector<size_t> ends(std::u32string_view text, size_t begin) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
};

}  // namespace lorapress

#endif  // LORAPRESS_SCORE_PATTERN_H_
