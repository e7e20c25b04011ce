#include "lorapress/option_names.h"

#include <algorithm>
#include <cctype>

namespace lorapress {
namespace {

constexpr std::string_view kOptionsPrefix = "options.";

bool is_name_letter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

}  // namespace

std::string rename_options(std::string_view text,
                           const std::function<std::string(std::string_view field)>& name_of) {
  std::string result;
  size_t done = 0;
  size_t at = 0;
  while ((at = text.find(kOptionsPrefix, at)) != std::string_view::npos) {
    const size_t begin = at + kOptionsPrefix.size();
    size_t end = begin;
    while (end < text.size() && is_name_letter(text[end])) {
      ++end;
    }
    const std::string_view field = text.substr(begin, end - begin);
    const bool is_path = at > 0 && (is_name_letter(text[at - 1]) || text[at - 1] == '/' ||
                                    text[at - 1] == '.' || text[at - 1] == '-');
    const std::string name = is_path ? "" : name_of(field == "dtypes" ? "dtype" : field);
    if (!name.empty()) {
      result += text.substr(done, at - done);
      result += name;
      done = end;
    }
    at = end;
  }
  return result += text.substr(done);
}

}  // namespace lorapress
