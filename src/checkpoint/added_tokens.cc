#include "checkpoint/added_tokens.h"

#include <algorithm>

#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTokenizer = "tokenizer.json";

// The tokenizer.json of the first folder that has one.
std::optional<fs::path> find_tokenizer_json(const Folders& folders) {
  const auto found = std::ranges::find_if(
      folders, [](const fs::path& folder) { return fs::exists(folder / kTokenizer); });
  return found == folders.end() ? std::nullopt : std::optional(*found / kTokenizer);
}

const Json* vocabulary(const Json& tokenizer) {
  static const Json::json_pointer kPlace("/model/vocab");
  return tokenizer.is_object() && tokenizer.contains(kPlace) ? &tokenizer[kPlace] : nullptr;
}

int64_t rows_of(const Json& tokenizer, const std::string& where) {
  int64_t rows = 0;
  if (const Json* vocab = vocabulary(tokenizer); vocab != nullptr && vocab->is_object()) {
    for (const auto& [token, id] : vocab->items()) {
      rows = std::max(rows, id.is_number_integer() ? id.get<int64_t>() + 1 : 0);
    }
  } else if (vocab != nullptr && vocab->is_array()) {  // Unigram: by position
    rows = std::ssize(*vocab);
  }
  const auto added = tokenizer.find("added_tokens");
  if (added != tokenizer.end() && added->is_array()) {
    for (const Json& token : *added) {
      rows = std::max(rows, json_or<int64_t>(token, "id", -1, where) + 1);
    }
  }
  return rows;
}

Json read_tokenizer(const fs::path& path) {
  Json json = read_json(path);
  if (!json.is_object()) {
    fail(ErrorCode::kInvalidFile, "{}: expected a JSON object", path.string());
  }
  return json;
}

// Whether all tokens of `base` have their ids in `more`.
bool extends(const Json& more, const Json& base) {
  const Json* known = vocabulary(base);
  const Json* all = vocabulary(more);
  if (known == nullptr || all == nullptr || known->type() != all->type()) {
    return false;
  }
  if (!known->is_object()) {
    return *known == *all;
  }
  return std::ranges::all_of(known->items(), [&](const auto& item) {
    const auto found = all->find(item.key());
    return found != all->end() && *found == item.value();
  });
}

}  // namespace

std::optional<int64_t> tokenizer_rows(const Folders& folders) {
  const auto path = find_tokenizer_json(folders);
  return path ? std::optional(rows_of(read_tokenizer(*path), path->string())) : std::nullopt;
}

std::string unexplained_rows(const fs::path& adapter,
                             const Folders& bases,
                             int64_t before,
                             int64_t after) {
  const auto own = find_tokenizer_json({adapter});
  const auto known = find_tokenizer_json(bases);
  if (!own && !known && after > before) {
    return after / 2 <= before ? "" : "; more than twice as many rows are no added tokens";
  }
  if (!own && !known) {
    return "; no tokenizer.json says that the other rows are unused";
  }
  const std::string where = (own ? *own : *known).string();
  const Json tokenizer = read_tokenizer(own ? *own : *known);
  if (const int64_t rows = rows_of(tokenizer, where); rows > after) {
    return fmt::format("; {} has tokens up to {}", where, rows - 1);
  }
  if (!own && after / 2 > before) {
    return "; more than twice as many rows are no added tokens";
  }
  if (own && known && !extends(tokenizer, read_tokenizer(*known))) {
    return fmt::format("; {} has other tokens than {}", where, known->string());
  }
  return "";
}

bool brings_tokens(const fs::path& adapter, const Folders& bases) {
  const auto own = find_tokenizer_json({adapter});
  const auto known = find_tokenizer_json(bases);
  if (!own || !known || read_text(*own) == read_text(*known)) {
    return false;
  }
  const Json more = read_tokenizer(*own);
  const Json base = read_tokenizer(*known);
  return rows_of(more, own->string()) > rows_of(base, known->string()) && extends(more, base);
}

}  // namespace lorapress
