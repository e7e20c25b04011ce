#include "score/pattern.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <string>

#define PCRE2_CODE_UNIT_WIDTH 32

#include "base/fail.h"
#include "base/pcre2_library.h"

namespace lorapress {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};
// Latin, Greek and Cyrillic as the tokenizer has them; of other scripts whole blocks.
constexpr std::array kLetterRanges = std::to_array<Range>(
    {{0xAA, 0xAA},     {0xAD, 0xAD},     {0xB5, 0xB5},     {0xBA, 0xBA},     {0xC0, 0xD6},
     {0xD8, 0xF6},     {0xF8, 0x37D},    {0x384, 0x386},   {0x388, 0x38A},   {0x38C, 0x38C},
     {0x38E, 0x3A1},   {0x3A3, 0x481},   {0x483, 0x487},   {0x48A, 0x527},   {0x531, 0x556},
     {0x559, 0x55F},   {0x561, 0x587},   {0x591, 0x5BD},   {0x5BF, 0x5BF},   {0x5C1, 0x5C2},
     {0x5D0, 0x5EA},   {0x5F0, 0x5F2},   {0x615, 0x61A},   {0x620, 0x65E},   {0x66E, 0x6D3},
     {0x6D5, 0x6FF},   {0x70F, 0x7B1},   {0x900, 0x939},   {0x93C, 0x94E},   {0x950, 0x963},
     {0x966, 0x1DBF},  {0x1E00, 0x1F15}, {0x1F18, 0x1F1D}, {0x1F20, 0x1F45}, {0x1F48, 0x1F4D},
     {0x1F50, 0x1F57}, {0x1F59, 0x1F59}, {0x1F5B, 0x1F5B}, {0x1F5D, 0x1F5D}, {0x1F5F, 0x1F7D},
     {0x1F80, 0x1FB4}, {0x1FB6, 0x1FBC}, {0x1FBE, 0x1FBE}, {0x1FC2, 0x1FC4}, {0x1FC6, 0x1FCC},
     {0x1FD0, 0x1FD3}, {0x1FD6, 0x1FDB}, {0x1FE0, 0x1FEC}, {0x1FF2, 0x1FF4}, {0x1FF6, 0x1FFC},
     {0x2071, 0x2071}, {0x207F, 0x207F}, {0x2090, 0x209C}, {0x2102, 0x2102}, {0x2107, 0x2107},
     {0x210A, 0x2113}, {0x2115, 0x2115}, {0x2119, 0x211D}, {0x2124, 0x2124}, {0x2126, 0x2126},
     {0x2128, 0x2128}, {0x212A, 0x212D}, {0x212F, 0x2139}, {0x213C, 0x213F}, {0x2145, 0x2149},
     {0x214E, 0x214E}, {0x2183, 0x2184}, {0x2C00, 0x2C2E}, {0x2C30, 0x2C5E}, {0x2C60, 0x2CE4},
     {0x2D00, 0x2DDE}, {0x3005, 0x3006}, {0x3031, 0x3035}, {0x3041, 0x3096}, {0x309D, 0x309F},
     {0x30A1, 0x30FA}, {0x30FC, 0xD7FF}, {0xF900, 0xFD3D}, {0xFE70, 0xFEFC}, {0xFF21, 0xFF3A},
     {0xFF41, 0xFF5A}, {0xFF66, 0xFFDC}});

// Accents that follow their letter, and the soft hyphen.
constexpr std::array kMarks = std::to_array<Range>({{0xAD, 0xAD}, {0x300, 0x36F}, {0x483, 0x487}});

std::string listed(const Range& range) {
  return fmt::format("\\x{{{:x}}}-\\x{{{:x}}}",
                     static_cast<uint32_t>(range.first),
                     static_cast<uint32_t>(range.last));
}

// The letters as the inside of a class, without the marks where these do not count.
std::string letters(bool marks) {
  std::string text = "A-Za-z";
  for (const Range& range : kLetterRanges) {
    char32_t first = range.first;
    for (const Range& mark : kMarks) {
      if (!marks && mark.last >= first && mark.first <= range.last) {
        if (mark.first > first) {
          text += listed({first, mark.first - 1});
        }
        first = mark.last + 1;
      }
    }
    if (first <= range.last) {
      text += listed({first, range.last});
    }
  }
  return text;
}

// What \l, \a ... stand for, as the inside of a class; empty for an escaped character.
std::string_view kind(char sign) {
  static const std::string all = letters(true);
  static const std::string plain = letters(false);
  switch (sign) {
    case 'l':
      return all;
    case 'a':
      return plain;
    case 'u':
      return R"(A-Z\x{c0}-\x{d6}\x{d8}-\x{de}\x{391}-\x{3a9}\x{410}-\x{42f})";
    case 'd':
      return "0-9";
    case 's':
      return R"( \t\x{a0}\x{2000}-\x{200a}\x{3000})";
    case 'q':
      return R"('\x{92}\x{2019})";
    case 'k':
      return R"('\x{92}\x{2019}`\x{91}\x{2018}\x{201b})";
    case 'n':
      return R"(\n)";
    default:
      return {};
  }
}

// The pattern as PCRE2 writes it: classes keep their cases, where the rest has both.
std::u32string translated(std::string_view source) {
  std::string text;
  bool inside = false;
  for (size_t at = 0; at < source.size(); ++at) {
    const char sign = source[at];
    if (sign == '\\' && at + 1 < source.size()) {
      const std::string_view range = kind(source[++at]);
      text += range.empty() ? std::string{sign, source[at]}
              : inside      ? std::string(range)
                            : fmt::format("(?-i:[{}])", range);
    } else if (sign == '[' && !inside) {
      inside = true;
      text += "(?-i:[";
    } else if (sign == ']' && inside) {
      inside = false;
      text += "])";
    } else {
      text += sign;
    }
  }
  return {text.begin(), text.end()};  // ASCII
}

}  // namespace

bool is_caption_letter(char32_t code) {
  if (code < 0x80) {
    return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
  }
  const auto after = std::ranges::upper_bound(kLetterRanges, code, {}, &Range::first);
  return after != kLetterRanges.begin() && code <= std::prev(after)->last;
}

struct Pattern::Code {
  explicit Code(pcre2_code* compiled) : code(compiled) {}
  ~Code() { pcre2_code_free(code); }
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;

  pcre2_code* code;
};

Pattern::Pattern(std::string_view source) {
  const std::u32string text = translated(source);
  int error = 0;
  size_t place = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()),
                                   text.size(),
                                   PCRE2_CASELESS | PCRE2_DOTALL | PCRE2_NO_AUTO_CAPTURE,
                                   &error,
                                   &place,
                                   nullptr);
  if (code == nullptr) {
    fail(ErrorCode::kRuntime, "pattern {}: wrong at {}, PCRE2 error {}", source, place, error);
  }
  code_ = std::make_shared<Code>(code);
}

std::vector<size_t> Pattern::ends(std::u32string_view text, size_t begin) const {
  const auto most = static_cast<uint32_t>(text.size() - begin + 1);  // matches, one for each end
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create(most, nullptr), pcre2_match_data_free);
  std::vector<int> workspace(1024);
  int count = PCRE2_ERROR_DFA_WSSIZE;
  while (count == PCRE2_ERROR_DFA_WSSIZE) {
    count = pcre2_dfa_match(code_->code,
                            reinterpret_cast<PCRE2_SPTR>(text.data()),
                            text.size(),
                            begin,
                            PCRE2_ANCHORED | PCRE2_NOTEMPTY,
                            data.get(),
                            nullptr,
                            workspace.data(),
                            workspace.size());
    workspace.resize(2 * workspace.size());
  }
  if (count == PCRE2_ERROR_NOMATCH) {
    return {};
  }
  if (count <= 0) {
    fail(ErrorCode::kRuntime, "a pattern of captions: PCRE2 error {}", count);
  }
  const size_t* places = pcre2_get_ovector_pointer(data.get());
  std::vector<size_t> found;
  for (int i = count - 1; i >= 0; --i) {  // the longest is the first
    found.push_back(places[(2 * i) + 1]);
  }
  return found;
}

}  // namespace lorapress
