#include "verify/report/html.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace lorapress::html {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD in UTF-8

// The length of the well-formed UTF-8 character at `at` (RFC 3629, table of section 4), and its
// code; length 0 where there is none.
struct Character {
  size_t size = 0;
  uint32_t code = 0;
};
Character character_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(text[i])); };
  const uint32_t first = byte(at);
  if (first < 0x80) {
    return {1, first};
  }
  const size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || size > text.size() - at) {
    return {};
  }
  uint32_t code = first & (0xffU >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    if (byte(at + i) >> 6 != 0x2) {
      return {};
    }
    code = code << 6 | (byte(at + i) & 0x3f);
  }
  const uint32_t least = size == 2 ? 0x80 : size == 3 ? 0x800 : 0x10000;
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  return code < least || surrogate || code > 0x10ffff ? Character{} : Character{size, code};
}

bool printable(uint32_t code) {
  const bool control =
      (code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7f && code < 0xa0);
  const bool turns = (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
  const bool no_character = (code & 0xfffe) == 0xfffe || (code >= 0xfdd0 && code <= 0xfdef);
  return !control && !turns && !no_character;
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = text.find_first_not_of(" \t\r\n", at);
    if (begin == std::string_view::npos) {
      break;
    }
    at = std::min(text.find_first_of(" \t\r\n", begin), text.size());
    words.push_back(text.substr(begin, at - begin));
  }
  return words;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Character next = character_at(text, at);
    if (next.size == 0 || !printable(next.code)) {
      out += kReplacement;
      at += std::max<size_t>(next.size, 1);
      continue;
    }
    switch (next.code) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += text.substr(at, next.size);
    }
    at += next.size;
  }
  return out;
}

// By the longest common subsequence of words.
std::string marked_difference(std::string_view reference, std::string_view text) {
  constexpr size_t kMostWords = 1000;
  const std::vector<std::string_view> old = words_of(reference);
  const std::vector<std::string_view> now = words_of(text);
  if (old.size() > kMostWords || now.size() > kMostWords) {
    return "<mark>" + escaped(text) + "</mark>";
  }
  const size_t pitch = now.size() + 1;
  std::vector<uint16_t> common((old.size() + 1) * pitch, 0);  // length from words i, j on
  for (size_t i = old.size(); i-- > 0;) {
    for (size_t j = now.size(); j-- > 0;) {
      common[i * pitch + j] =
          old[i] == now[j] ? static_cast<uint16_t>(common[(i + 1) * pitch + j + 1] + 1)
                           : std::max(common[(i + 1) * pitch + j], common[i * pitch + j + 1]);
    }
  }
  std::vector<std::string> pieces;
  for (size_t i = 0, j = 0; i < old.size() || j < now.size();) {
    if (i < old.size() && j < now.size() && old[i] == now[j]) {
      pieces.push_back(escaped(now[j]));
      ++i;
      ++j;
    } else if (j == now.size() ||
               (i < old.size() && common[(i + 1) * pitch + j] >= common[i * pitch + j + 1])) {
      pieces.push_back("<del>" + escaped(old[i++]) + "</del>");
    } else {
      pieces.push_back("<mark>" + escaped(now[j++]) + "</mark>");
    }
  }
  return fmt::format("{}", fmt::join(pieces, " "));
}

std::string number(double value) {
  if (!std::isfinite(value)) {
    return "-";
  }
  if (value == 0.0) {
    return "0";
  }
  const auto exponent = static_cast<int>(std::floor(std::log10(std::fabs(value))));
  if (exponent >= -3 && exponent < 4) {
    return fmt::format("{:.3g}", value);
  }
  std::string text = fmt::format("{:.1e}", value);  // 1.2e-05
  const size_t zero = text.find_first_not_of("+-", text.find('e') + 1);
  if (text[zero] == '0') {
    text.erase(zero, 1);
  }
  return text;
}

std::string percent(int64_t part, int64_t whole) {
  if (part >= whole) {
    return "100 %";
  }
  const double share = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  return fmt::format("{:.2f} %", std::floor(share * 100.0) / 100.0);
}

std::string megabytes(uint64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

}  // namespace lorapress::html
