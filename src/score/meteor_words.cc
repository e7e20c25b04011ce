// How METEOR's Normalizer, after the tokenizer of Moses, cuts a line of English that is in lower case and has no
// punctuation of its own.
#include <algorithm>
#include <array>
#include <functional>

#include "score/caption_tokens.h"
#include "score/meteor.h"

namespace lorapress {
namespace {

bool is_digit(char32_t code) {
  return code >= '0' && code <= '9';
}
// Its alphabet, Western European and Cyrillic.
bool is_alphabetic(char32_t code) {
  return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z') || code == 0x160 ||
         code == 0x17D || code == 0x161 || code == 0x178 || (code >= 0xC0 && code <= 0xD6) ||
         (code >= 0xD8 && code <= 0xF6) || (code >= 0xF8 && code <= 0x17E) ||
         (code >= 0x400 && code <= 0x527) || (code >= 0xA640 && code <= 0xA66E) ||
         (code >= 0xA67E && code <= 0xA697) || (code >= 0x1D00 && code <= 0x1D7F);
}
bool is_word_sign(char32_t code) {
  return is_digit(code) || is_alphabetic(code);
}
bool is_apart(char32_t code) {  // gets blanks around it
  constexpr std::u32string_view kOther = U" \t\n\v\f\r.'`,-\u2018\u2019";
  return !is_word_sign(code) && kOther.find(code) == std::u32string_view::npos;
}

using Test = std::function<bool(char32_t)>;

// Every place where `sign` stands between two characters that pass becomes `with`; such places do not overlap, so
// that of a-b-c only the first one is one.
std::u32string between(const std::u32string& text,
                       const Test& left,
                       char32_t sign,
                       const Test& right,
                       std::u32string_view with) {
  std::u32string made;
  for (size_t i = 0; i < text.size();) {
    if (i + 2 < text.size() && text[i + 1] == sign && left(text[i]) && right(text[i + 2])) {
      made += text[i];
      made += with;
      made += text[i + 2];
      i += 3;
    } else {
      made += text[i++];
    }
  }
  return made;
}

std::u32string normalized(std::string_view tokens) {
  std::u32string text = U" ";
  for (const char32_t code : from_utf8(tokens)) {
    text += is_apart(code) ? std::u32string{U' ', code, U' '} : std::u32string(1, code);
  }
  text += U' ';
  const auto no_digit = [](char32_t code) { return !is_digit(code); };
  const auto no_letter = [](char32_t code) { return !is_alphabetic(code); };
  text = between(text, no_digit, U',', no_digit, U" , ");
  text = between(text, is_digit, U',', no_digit, U" , ");
  text = between(text, no_digit, U',', is_digit, U" , ");
  std::ranges::replace_if(
      text, [](char32_t code) { return code == '`' || code == 0x2018 || code == 0x2019; }, U'\'');
  std::ranges::replace(text, char32_t{0x2013}, U'-');
  for (size_t at = 0; (at = text.find(U"--", at)) != std::u32string::npos; ++at) {
    text.erase(at, 1);
  }
  text = between(
      text,
      [](char32_t code) { return is_word_sign(code) || code == '.'; },
      U'-',
      is_word_sign,
      U" ");
  text = between(text, no_letter, U'\'', no_letter, U" ' ");
  text = between(
      text, [](char32_t code) { return !is_word_sign(code); }, U'\'', is_alphabetic, U" ' ");
  text = between(text, is_alphabetic, U'\'', no_letter, U" ' ");
  text = between(text, is_alphabetic, U'\'', is_alphabetic, U" '");
  return between(text, is_digit, U'\'', [](char32_t code) { return code == 's'; }, U" '");
}

std::vector<std::u32string> split(std::u32string_view text, std::u32string_view blanks) {
  std::vector<std::u32string> words;
  for (size_t at = 0; (at = text.find_first_not_of(blanks, at)) != std::u32string_view::npos;) {
    const size_t end = std::min(text.find_first_of(blanks, at), text.size());
    words.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

}  // namespace

std::vector<std::string> meteor_words(std::string_view tokens) {
  constexpr std::u32string_view kBlanks = U" \t\n\r\f";
  constexpr std::array<std::u32string_view, 3> kWithDot = {U"v", U"vs", U"rev"};
  const std::vector<std::u32string> words = split(normalized(tokens), kBlanks);
  std::u32string line;
  for (size_t i = 0; i < words.size(); ++i) {
    std::u32string word = words[i];
    if (word.size() > 1 && word.back() == '.') {
      const std::u32string before = word.substr(0, word.size() - 1);
      const char32_t next = i + 1 < words.size() ? words[i + 1][0] : U' ';
      if (before.find(U'.') != std::u32string::npos && std::ranges::any_of(before, is_alphabetic)) {
        std::erase(word, U'.');
      } else if (std::ranges::find(kWithDot, before) == kWithDot.end() &&
                 !(next >= 'a' && next <= 'z') && !(before == U"pp" && is_digit(next))) {
        word = before + U" .";
      }
    }
    line += word + U" ";
  }
  std::vector<std::string> made;
  for (const std::u32string& word : split(line, U" \t\n\r\f\u00A0")) {
    made.push_back(lower_case(to_utf8(word)));
  }
  return made;
}

}  // namespace lorapress
