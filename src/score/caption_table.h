// Tables of captions as text: CSV and its relatives.
#ifndef LORAPRESS_SCORE_CAPTION_TABLE_H_
#define LORAPRESS_SCORE_CAPTION_TABLE_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lorapress {

// Names of columns and of members of JSON, in the order in which they are looked for.
inline constexpr std::array<std::string_view, 7> kImageColumns = {
    "image", "file_name", "filename", "image_name", "file", "path", "image_id"};
inline constexpr std::array<std::string_view, 6> kCaptionColumns = {
    "text", "caption", "captions", "alt_text", "comment", "description"};

struct TableCaption {
  std::string image;
  std::string caption;
  int64_t line = 0;  // where the row begins, from 1
};

// Rows of a table whose first line names its columns (quotes as in RFC 4180; commas, semicolons, tabs or bars, whichever
// the first line has), or lines of Flickr8k, "NAME.jpg#0<tab>CAPTION". Throws kInvalidFile, with the line.
std::vector<TableCaption> read_caption_table(std::string_view text, std::string_view where);

}  // namespace lorapress

#endif  // LORAPRESS_SCORE_CAPTION_TABLE_H_
