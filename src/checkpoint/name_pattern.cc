#include "checkpoint/name_pattern.h"

#include <algorithm>
#include <iterator>

#define PCRE2_CODE_UNIT_WIDTH 8

#include "base/fail.h"
#include "base/pcre2_library.h"

namespace lorapress {
namespace {

// Names of modules have about 50 characters and ordinary keys take some hundred steps each.
constexpr uint32_t kMostSteps = 200'000;
constexpr uint32_t kMostHeapKib = 16 * 1024;
constexpr size_t kLongestKey = 4096;

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// A key of word characters and dots, which is what nearly all keys are; a dot is any character.
bool is_plain(std::string_view key) {
  return std::ranges::all_of(
      key, [](char c) { return is_letter(c) || is_digit(c) || c == '_' || c == '.'; });
}

bool matches_plain(std::string_view key, std::string_view module) {
  std::string single;  // one byte per character; a non-ASCII character matches only a dot
  if (!std::ranges::all_of(module, [](char c) { return (c & 0x80) == 0; })) {
    std::ranges::copy_if(
        module, std::back_inserter(single), [](char c) { return (c & 0xC0) != 0x80; });
    module = single;
  }
  if (key.size() > module.size()) {
    return false;
  }
  const size_t start = module.size() - key.size();
  if (start != 0 && module[start - 1] != '.') {
    return false;
  }
  return std::ranges::equal(key, module.substr(start), [](char wanted, char c) {
    return wanted == c || (wanted == '.' && c != '\n');
  });
}

// Rewrites a Python pattern (Lib/re/_parser.py) so that it means the same in PCRE2, and refuses
// syntax that only one of the two supports.
class Translator {
 public:
  Translator(std::string_view key, std::string_view where) : key_(key), where_(where) {}

  std::string run() {
    while (at_ < key_.size()) {
      const char c = key_[at_];
      if (std::string_view("*+?").find(c) != std::string_view::npos) {
        note_repeat(c);
        copy(1);
        continue;
      }
      if (c == '{') {
        repeat();
        continue;
      }
      repeats_ = 0;
      nothing_ = c == '(' || c == '|' || c == '^';
      if (c == '\\') {
        escape(false);
      } else if (c == '[') {
        char_class();
      } else if (c == '(') {
        group();
      } else {
        copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  [[nodiscard]] char peek(size_t ahead) const {
    return at_ + ahead < key_.size() ? key_[at_ + ahead] : '\0';
  }
  void copy(size_t count) {
    out_ += key_.substr(at_, count);
    at_ += count;
  }
  [[noreturn]] void refuse(std::string_view what) const {
    fail(ErrorCode::kUnsupported,
         "{}: the key \"{}\" has {}, which is not supported; write it with plain regular "
         "expressions or with the names of the modules",
         where_,
         key_,
         what);
  }

  // x*? and x*+ are one repeat; any other repeat of a repeat or of nothing is an error in Python,
  // but not always in PCRE2.
  void note_repeat(char c) {
    if (nothing_ || repeats_ > 1 || (repeats_ == 1 && c != '?' && c != '+')) {
      refuse("a repeat of a repeat or of nothing");
    }
    ++repeats_;
  }

  void escape(bool in_class) {
    const char c = peek(1);
    if (c == 'v') {  // a vertical tab in Python, a character class in PCRE2
      out_ += "\\x0b";
      at_ += 2;
    } else if (c == 'Z' && !in_class) {  // end of the text
      out_ += "\\z";
      at_ += 2;
    } else if (c == 'x' && is_hex(peek(2)) && is_hex(peek(3))) {
      copy(4);
    } else if (is_letter(c) && std::string_view("bdDsSwWafnrt").find(c) == std::string_view::npos &&
               (in_class || (c != 'A' && c != 'B'))) {
      refuse(fmt::format("\\{}", c));
    } else {
      copy(2);
    }
  }

  void char_class() {
    copy(peek(1) == '^' ? 2 : 1);
    if (peek(0) == ']') {  // a ] in first place is a character
      copy(1);
    }
    while (at_ < key_.size() && key_[at_] != ']') {
      if (key_[at_] == '\\') {
        escape(true);
      } else if (key_[at_] == '[' &&
                 std::string_view(":.=").find(peek(1)) != std::string_view::npos) {
        refuse(fmt::format("[{} in a set", peek(1)));
      } else {
        copy(1);
      }
    }
    copy(at_ < key_.size() ? 1 : 0);
  }

  // Groups that mean the same in both: (?: (?= (?! (?> (?<= (?<! (?P<name> (?P=name) (?(1) and
  // flags of a group of their own, (?i: (?m: (?s:
  void group() {
    if (peek(1) == '*') {
      refuse("(*");
    }
    if (peek(1) != '?') {
      copy(1);
      return;
    }
    const std::string_view rest = key_.substr(at_ + 2);
    for (const std::string_view known : {":", "=", "!", ">", "<=", "<!", "P<", "P="}) {
      if (rest.starts_with(known)) {
        copy(2 + known.size());
        return;
      }
    }
    const size_t flags = std::min(rest.find_first_not_of("ims-"), rest.size());
    if (flags != 0 && flags < rest.size() && rest[flags] == ':') {
      copy(2 + flags + 1);
      return;
    }
    if (rest.starts_with("(") && rest.size() > 1 && is_digit(rest[1])) {
      copy(3);
      return;
    }
    refuse(fmt::format("(?{}", rest.substr(0, 1)));
  }

  // {m}, {m,}, {,n}, {m,n} without spaces; any other brace is a plain character in Python.
  void repeat() {
    size_t end = at_ + 1;
    const auto digits = [&] {
      const size_t from = end;
      while (end < key_.size() && is_digit(key_[end])) {
        ++end;
      }
      return key_.substr(from, end - from);
    };
    const std::string_view low = digits();
    const bool comma = end < key_.size() && key_[end] == ',';
    end += comma ? 1 : 0;
    const std::string_view high = comma ? digits() : "";
    if (end >= key_.size() || key_[end] != '}' || (low.empty() && !comma)) {
      out_ += "\\{";
      at_ += 1;
      repeats_ = 0;
      nothing_ = false;
      return;
    }
    note_repeat('{');
    out_ += fmt::format("{{{}{}{}}}", low.empty() ? "0" : low, comma ? "," : "", high);
    at_ = end + 1;
  }

  std::string_view key_;
  std::string_view where_;
  size_t at_ = 0;
  int repeats_ = 0;      // repeats and their modifier right before this place
  bool nothing_ = true;  // nothing stands before this place that can be repeated
  std::string out_;
};

std::shared_ptr<const pcre2_code> compile(const std::string& key, const std::string& where) {
  // The groups are PEFT's own: \1 in a key refers to the path before the key.
  const std::string pattern = R"((.*\.)?()" + Translator(key, where).run() + ")$";
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  size_t offset = 0;
  std::shared_ptr<const pcre2_code> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()),
                    pattern.size(),
                    PCRE2_ANCHORED | PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
                    &error,
                    &offset,
                    context.get()),
      [](const pcre2_code* owned) { pcre2_code_free(const_cast<pcre2_code*>(owned)); });
  if (!code) {
    std::string text(256, '\0');
    const int length =
        pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(text.data()), text.size());
    text.resize(static_cast<size_t>(std::max(length, 0)));
    fail(ErrorCode::kInvalidFile,
         "{}: the key \"{}\" is not a regular expression ({}); correct it as PEFT would need it",
         where,
         key,
         text);
  }
  return code;
}

}  // namespace

NamePattern::NamePattern(std::string key, std::string where)
    : key_(std::move(key)), where_(std::move(where)) {
  if (key_.size() > kLongestKey) {
    fail(ErrorCode::kInvalidFile,
         "{}: a key has {} characters, expected at most {}",
         where_,
         key_.size(),
         kLongestKey);
  }
  if (!is_plain(key_)) {
    code_ = compile(key_, where_);
  }
}

bool NamePattern::matches(std::string_view module) const {
  if (!code_) {
    return matches_plain(key_, module);
  }
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_create(nullptr), pcre2_match_context_free);
  pcre2_set_match_limit(context.get(), kMostSteps);
  pcre2_set_heap_limit(context.get(), kMostHeapKib);
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> groups(
      pcre2_match_data_create(1, nullptr), pcre2_match_data_free);
  const int found = pcre2_match(code_.get(),
                                reinterpret_cast<PCRE2_SPTR>(module.data()),
                                module.size(),
                                0,
                                0,
                                groups.get(),
                                context.get());
  if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
    fail(ErrorCode::kUnsupported,
         "{}: the key \"{}\" takes too many steps on a name of {} characters; write it simpler",
         where_,
         key_,
         module.size());
  }
  return found >= 0;
}

size_t NamePattern::compiled_bytes() const {
  size_t bytes = 0;
  if (code_) {
    pcre2_pattern_info(code_.get(), PCRE2_INFO_SIZE, &bytes);
  }
  return bytes;
}

}  // namespace lorapress
