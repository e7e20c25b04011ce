// Files of captions by image, in the layouts that include/lorapress/score.h names.
#ifndef LORAPRESS_SCORE_CAPTION_FILE_H_
#define LORAPRESS_SCORE_CAPTION_FILE_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace lorapress {

struct ImageCaptions {
  std::string image;   // its name; empty where only the number is known
  std::string number;  // COCO's id; empty: none
  std::vector<std::string> captions;
};

struct CaptionFile {
  std::vector<ImageCaptions> images;  // in the order of the file
  int64_t errors = 0;                 // lines that say why an image has no caption
};

// `last_counts`: of JSON lines about one image only the last one counts, as of files that were continued. Throws
// kNotFound, kIo, kInvalidFile with the line or the entry.
CaptionFile read_caption_file(const std::filesystem::path& path,
                              const std::string& split,
                              bool last_counts);

// Finds images by name, else by the last part of the name, else by number.
class ImageIndex {
 public:
  explicit ImageIndex(const std::vector<ImageCaptions>& images);
  // Index of the image, or npos. Throws kMismatch where only the last part is the same and several images have it.
  [[nodiscard]] size_t find(std::string_view name, std::string_view number) const;

 private:
  std::map<std::string, size_t, std::less<>> names_;
  std::map<std::string, std::vector<size_t>, std::less<>> last_parts_;
  std::map<std::string, size_t, std::less<>> numbers_;
};

}  // namespace lorapress

#endif  // LORAPRESS_SCORE_CAPTION_FILE_H_
