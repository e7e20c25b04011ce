#include "score/caption_tokens.h"

#include <algorithm>
#include <array>
#include <optional>

#include "score/caption_rules.h"

namespace lorapress {
namespace {

constexpr char32_t kReplacement = 0xFFFD;
constexpr char32_t kNoBreakSpace = 0xA0;

// Removed behind the tokenizer: PUNCTUATIONS of pycocoevalcap/tokenizer/ptbtokenizer.py. Its -LRB- and the like never
// meet a token, since tokens are in lower case by then.
constexpr std::array<std::string_view, 13> kRemoved = {
    "''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"};

struct Found {
  size_t end = 0;    // of the token
  size_t reach = 0;  // with what was looked ahead
  const TokenRule* rule = nullptr;
};

Found longest(std::u32string_view text, size_t begin) {
  Found best;
  for (const TokenRule& rule : token_rules_of_captions()) {
    for (const size_t end : rule.text.ends(text, begin)) {
      size_t reach = end;
      if (rule.ahead) {
        const std::vector<size_t> further = rule.ahead->ends(text, end);
        if (further.empty()) {
          continue;
        }
        reach = further.back();
      }
      if (reach > best.reach || (reach == best.reach && best.rule == &rule)) {
        best = {end, reach, &rule};
      }
    }
  }
  best.end -= best.rule == nullptr ? 0 : best.rule->left;
  return best;
}

void replace(std::u32string& text, std::u32string_view from, std::u32string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::u32string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

std::u32string written(std::u32string text, TokenForm form) {
  std::erase(text, char32_t{0xAD});
  switch (form) {
    case TokenForm::kSkipped:
      return U"";
    case TokenForm::kEntities:
      replace(text, U"&amp;", U"&");
      replace(text, U"&lt;", U"<");
      replace(text, U"&gt;", U">");
      break;
    case TokenForm::kApostrophes:
      replace(text, U"&apos;", U"'");
      std::ranges::replace_if(
          text,
          [](char32_t code) {
            return code == 0x92 || code == 0x2019 || code == 0x91 || code == 0x2018 ||
                   code == 0x201B;
          },
          U'\'');
      break;
    case TokenForm::kBrackets:
      replace(text, U"(", U"-LRB-");
      replace(text, U")", U"-RRB-");
      [[fallthrough]];
    case TokenForm::kBlanks:
      std::ranges::replace(text, U' ', kNoBreakSpace);
      break;
    case TokenForm::kText:
      break;
  }
  return text;
}

struct Sign {
  char32_t code;
  std::u32string_view text;
};
constexpr std::array kSigns = std::to_array<Sign>({
    {U'(', U"-lrb-"},
    {U')', U"-rrb-"},
    {U'[', U"-lsb-"},
    {U']', U"-rsb-"},
    {U'{', U"-lcb-"},
    {U'}', U"-rcb-"},
    {0x80, U"$"},
    {0xA2, U"cents"},
    {0xA3, U"#"},
    {0xA4, U"$"},
    {0xBC, U"1/4"},
    {0xBD, U"1/2"},
    {0xBE, U"3/4"},
    {0x2153, U"1/3"},
    {0x2154, U"2/3"},
    {0x20A0, U"$"},
    {0x20AC, U"$"},
});

struct SymbolRange {
  char32_t first;
  char32_t last;
};
constexpr std::array kSymbols = std::to_array<SymbolRange>(
    {{0xA1, 0xA1},     {0xA5, 0xA9},     {0xAC, 0xAC},     {0xAE, 0xB4},     {0xB6, 0xB9},
     {0xBF, 0xBF},     {0xD7, 0xD7},     {0xF7, 0xF7},     {0x37E, 0x37E},   {0x387, 0x387},
     {0x589, 0x589},   {0x60C, 0x60C},   {0x2016, 0x2017}, {0x201A, 0x201A}, {0x201E, 0x2023},
     {0x2030, 0x2038}, {0x203B, 0x203B}, {0x203E, 0x2042}, {0x2044, 0x2044}, {0x2070, 0x2070},
     {0x2074, 0x207E}, {0x2080, 0x208E}, {0x20A4, 0x20A4}, {0x2100, 0x2101}, {0x2103, 0x2106},
     {0x2108, 0x2109}, {0x2114, 0x2114}, {0x2116, 0x2118}, {0x211E, 0x2123}, {0x2125, 0x2125},
     {0x2127, 0x2127}, {0x2129, 0x2129}, {0x212E, 0x212E}, {0x213A, 0x213B}, {0x2140, 0x2144},
     {0x214A, 0x214D}, {0x214F, 0x214F}, {0x2155, 0x215E}, {0x2190, 0x2BFF}, {0x3001, 0x3002},
     {0x3012, 0x3012}, {0x30FB, 0x30FB}});
constexpr std::u32string_view kAsciiSigns = U"+%&~^|\\*=/";

// A character that no rule takes: a sign of its own, or nothing.
std::u32string sign(char32_t code) {
  const auto known = std::ranges::find(kSigns, code, &Sign::code);
  if (known != kSigns.end()) {
    return std::u32string(known->text);
  }
  const bool symbol = std::ranges::any_of(kSymbols, [code](const SymbolRange& range) {
    return code >= range.first && code <= range.last;
  });
  const bool shown = symbol || kAsciiSigns.find(code) != std::u32string_view::npos;
  return shown ? std::u32string(1, code) : std::u32string();
}

char32_t lower(char32_t code) {
  if ((code >= 'A' && code <= 'Z') || (code >= 0xC0 && code <= 0xDE && code != 0xD7) ||
      (code >= 0x391 && code <= 0x3A9 && code != 0x3A2) || (code >= 0x410 && code <= 0x42F)) {
    return code + 0x20;
  }
  if (code >= 0x400 && code <= 0x40F) {
    return code + 0x50;
  }
  if (code == 0x178) {
    return 0xFF;
  }
  const bool odd_capitals = (code >= 0x139 && code <= 0x148) || (code >= 0x179 && code <= 0x17E);
  const bool even_capitals = (code >= 0x100 && code <= 0x137 && code != 0x130) ||
                             (code >= 0x14A && code <= 0x177) || (code >= 0x460 && code <= 0x481) ||
                             (code >= 0x48A && code <= 0x4BF) || (code >= 0x4D0 && code <= 0x52F) ||
                             (code >= 0x1E00 && code <= 0x1E95) ||
                             (code >= 0x1EA0 && code <= 0x1EFF);
  return (odd_capitals && code % 2 == 1) || (even_capitals && code % 2 == 0) ? code + 1 : code;
}

}  // namespace

std::u32string from_utf8(std::string_view text) {
  std::u32string codes;
  for (size_t at = 0; at < text.size();) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned first = byte(at);
    const size_t length = first < 0x80        ? 1
                          : first >> 5U == 6  ? 2
                          : first >> 4U == 14 ? 3
                          : first >> 3U == 30 ? 4
                                              : 0;
    char32_t code = length <= 1 ? first : first & (0x7FU >> length);
    bool whole = length > 0 && at + length <= text.size();
    for (size_t i = 1; whole && i < length; ++i) {
      whole = byte(at + i) >> 6U == 2;
      code = code << 6U | (byte(at + i) & 0x3FU);
    }
    codes.push_back(whole ? code : kReplacement);
    at += whole ? length : 1;
  }
  return codes;
}

std::string to_utf8(std::u32string_view text) {
  std::string bytes;
  for (const char32_t code : text) {
    if (code < 0x80) {
      bytes += static_cast<char>(code);
      continue;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    bytes += static_cast<char>((0xF0U << static_cast<unsigned>(3 - more) & 0xFFU) |
                               code >> static_cast<unsigned>(6 * more));
    for (int i = more - 1; i >= 0; --i) {
      bytes += static_cast<char>(0x80U | (code >> static_cast<unsigned>(6 * i) & 0x3FU));
    }
  }
  return bytes;
}

std::string lower_case(std::string_view text) {
  std::u32string codes = from_utf8(text);
  std::ranges::transform(codes, codes.begin(), lower);
  return to_utf8(codes);
}

std::vector<std::string> caption_tokens(std::string_view caption) {
  std::u32string text = from_utf8(caption);
  std::ranges::replace_if(
      text, [](char32_t code) { return code < 0x20 || code == 0x2028 || code == 0x2029; }, U' ');
  text += U"\n\n";  // rules look two characters ahead
  std::vector<std::string> tokens;
  for (size_t at = 0; at < text.size();) {
    const Found found = longest(text, at);
    std::u32string token =
        found.rule == nullptr
            ? sign(text[at])
            : written(std::u32string(text.substr(at, found.end - at)), found.rule->form);
    at = found.rule == nullptr ? at + 1 : found.end;
    const std::string made = lower_case(to_utf8(token));
    if (!made.empty() && std::ranges::find(kRemoved, made) == kRemoved.end()) {
      tokens.push_back(made);
    }
  }
  return tokens;
}

}  // namespace lorapress
