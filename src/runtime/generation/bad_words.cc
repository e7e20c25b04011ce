#include "runtime/generation/bad_words.h"

#include <algorithm>
#include <string>

#include "base/fail.h"

namespace lorapress {
namespace {

constexpr std::string_view kSpace = " \t\r\v\f";
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string_view trimmed(std::string_view line) {
  const size_t begin = line.find_first_not_of(kSpace);
  return begin == std::string_view::npos
             ? std::string_view()
             : line.substr(begin, line.find_last_not_of(kSpace) + 1 - begin);
}

}  // namespace

BadWords tokenized_bad_words(std::string_view text,
                             const Tokenizer& tokenizer,
                             int64_t vocab_size,
                             std::string_view where) {
  BadWords found;
  if (text.starts_with(kByteOrderMark)) {
    text.remove_prefix(kByteOrderMark.size());
  }
  for (size_t line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string word(trimmed(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty()) {
      continue;
    }
    ++found.words;
    bool any = false;
    for (const std::string& form : {word, " " + word}) {
      std::vector<int64_t> ids;
      try {
        ids = tokenizer.encode(form);
      } catch (const Error& error) {
        fail(ErrorCode::kInvalidFile, "{}: line {}: {}", where, line, error.what());
      }
      for (const int64_t id : ids) {
        if (id >= vocab_size) {
          fail(
              ErrorCode::kMismatch,
              "{}: line {} has the token {}, the model knows {}; tokenizer.json is of another model",
              where,
              line,
              id,
              vocab_size);
        }
      }
      any = any || !ids.empty();
      if (!ids.empty() && std::ranges::find(found.ids, ids) == found.ids.end()) {
        found.ids.push_back(std::move(ids));
      }
    }
    found.without_tokens += any ? 0 : 1;
  }
  if (found.ids.empty()) {
    fail(ErrorCode::kInvalidFile, "{}: holds no word; expected one a line", where);
  }
  return found;
}

}  // namespace lorapress
