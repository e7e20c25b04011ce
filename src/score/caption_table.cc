#include "score/caption_table.h"

#include <algorithm>
#include <optional>
#include <span>

#include "base/fail.h"

namespace lorapress {
namespace {

struct Row {
  std::vector<std::string> cells;
  int64_t line = 1;
};

std::string trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  const size_t end = text.find_last_not_of(" \t\r");
  return begin == std::string_view::npos ? std::string()
                                         : std::string(text.substr(begin, end - begin + 1));
}

class Reader {
 public:
  Reader(std::string_view text, char separator, std::string_view where)
      : text_(text), separator_(separator), where_(where) {}

  // The next row that is not empty.
  std::optional<Row> next() {
    while (at_ < text_.size()) {
      Row row = read();
      if (row.cells.size() > 1 || !row.cells[0].empty()) {
        return row;
      }
    }
    return std::nullopt;
  }

 private:
  Row read() {
    Row row{{}, line_};
    do {
      row.cells.push_back(cell(row.line));
    } while (at_ < text_.size() && text_[at_++] == separator_);
    ++line_;
    return row;
  }

  // Leaves `at_` at the separator, at the line break, or at the end.
  std::string cell(int64_t line) {
    const size_t quote = text_.find_first_not_of(" ", at_);
    if (quote == std::string_view::npos || text_[quote] != '"') {
      const size_t begin = at_;
      while (at_ < text_.size() && text_[at_] != separator_ && text_[at_] != '\n') {
        ++at_;
      }
      return trimmed(text_.substr(begin, at_ - begin));
    }
    std::string made;
    for (at_ = quote + 1; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"' && at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
        made += text_[at_++];
      } else if (text_[at_] == '"') {
        ++at_;
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\r')) {
          ++at_;
        }
        if (at_ < text_.size() && text_[at_] != separator_ && text_[at_] != '\n') {
          fail(ErrorCode::kInvalidFile, "{} line {}: text behind a closing quote", where_, line);
        }
        return trimmed(made);
      } else {
        line_ += text_[at_] == '\n' ? 1 : 0;
        made += text_[at_] == '\n' ? ' ' : text_[at_];
      }
    }
    fail(ErrorCode::kInvalidFile, "{} line {}: a quote that is not closed", where_, line);
  }

  std::string_view text_;
  char separator_;
  std::string_view where_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

char separator_of(std::string_view line) {
  constexpr std::string_view kSeparators = "\t|;,";
  const auto found = std::ranges::find_if(
      kSeparators, [&](char sign) { return line.find(sign) != std::string_view::npos; });
  return found == kSeparators.end() ? ',' : *found;
}

std::optional<size_t> column(const Row& names, std::span<const std::string_view> wanted) {
  for (const std::string_view name : wanted) {
    const auto found = std::ranges::find(names.cells, name);
    if (found != names.cells.end()) {
      return static_cast<size_t>(found - names.cells.begin());
    }
  }
  return std::nullopt;
}

// NAME#0<tab>CAPTION
bool is_flickr(std::string_view line) {
  const size_t mark = line.find('#');
  const size_t tab = line.find('\t');
  return mark != std::string_view::npos && tab != std::string_view::npos && mark < tab;
}

std::vector<TableCaption> read_flickr(std::string_view text, std::string_view where) {
  std::vector<TableCaption> rows;
  Reader reader(text, '\0', where);
  int64_t line = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view row = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++line;
    if (trimmed(row).empty()) {
      continue;
    }
    if (!is_flickr(row)) {
      fail(ErrorCode::kInvalidFile,
           "{} line {}: expected NAME#NUMBER, a tab and a caption",
           where,
           line);
    }
    rows.push_back(
        {std::string(row.substr(0, row.find('#'))), trimmed(row.substr(row.find('\t'))), line});
  }
  return rows;
}

}  // namespace

std::vector<TableCaption> read_caption_table(std::string_view text, std::string_view where) {
  if (text.starts_with("\xEF\xBB\xBF")) {
    text.remove_prefix(3);
  }
  const std::string_view first = text.substr(0, std::min(text.find('\n'), text.size()));
  if (is_flickr(first)) {
    return read_flickr(text, where);
  }
  Reader reader(text, separator_of(first), where);
  const std::optional<Row> names = reader.next();
  const std::optional<size_t> image = names ? column(*names, kImageColumns) : std::nullopt;
  const std::optional<size_t> caption = names ? column(*names, kCaptionColumns) : std::nullopt;
  if (!image || !caption) {
    fail(ErrorCode::kInvalidFile,
         "{} line 1: expected names of columns, one of {} and one of {}",
         where,
         fmt::join(kImageColumns, ", "),
         fmt::join(kCaptionColumns, ", "));
  }
  std::vector<TableCaption> rows;
  while (const std::optional<Row> row = reader.next()) {
    if (row->cells.size() != names->cells.size()) {
      fail(ErrorCode::kInvalidFile,
           "{} line {}: {} columns, the first line names {}",
           where,
           row->line,
           row->cells.size(),
           names->cells.size());
    }
    rows.push_back({row->cells[*image], row->cells[*caption], row->line});
  }
  return rows;
}

}  // namespace lorapress
