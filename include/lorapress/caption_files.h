// Captions of many images: folders are walked, images are decoded as they are needed, and a JSONL
// file takes one line per image and can be continued.
#ifndef LORAPRESS_CAPTION_FILES_H_
#define LORAPRESS_CAPTION_FILES_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lorapress/caption.h"
#include "lorapress/error.h"

namespace lorapress {

// The .jpg, .jpeg, .png, .webp, .gif, .bmp, .tif and .tiff files below a folder, in order of their
// paths. Links are followed; a folder that is reached twice, as by a loop of links, is walked once.
// Other files are passed over. Throws kNotFound or kIo for a folder that cannot be read.
std::vector<std::filesystem::path> find_images(const std::filesystem::path& folder);

struct FileCaption {
  std::filesystem::path image;
  Caption caption;
  std::optional<Error> error;  // then there is no caption
};

// One line, without the line break:
//   {"image":"a/b.png","text":"...","ids":[1,2],"score":0.0,"encode_ms":0.0,"prefill_ms":0.0,"decode_ms":0.0}
//   {"image":"a/c.png","error":{"code":"invalid_file","message":"..."}}
// Of bytes that are not UTF-8, U+FFFD is written. "score" only with beams.
std::string to_json_line(const FileCaption& file);

// May throw to stop.
using FileCaptionFn = std::function<void(const FileCaption& file)>;

// Captions `batch` images at a time; memory does not grow with their number. Every image is
// reported once, in order. What concerns one image is an error there; options that fit none are
// thrown.
void caption_files(const Captioner& captioner,
                   std::span<const std::filesystem::path> images,
                   const GenerateOptions& options,
                   int64_t batch,
                   const FileCaptionFn& report);

inline constexpr int64_t kMaxCaptionBatch = 256;

// A JSONL file of captions that grows line by line. A line is written whole or not at all, and
// what an interrupted run left of its last line is cut off when the file is opened again.
class CaptionLog {
 public:
  // Creates the file or goes on with it. Throws kInvalidFile for a file of another kind, which
  // stays as it is, and kExists while another process writes to it.
  explicit CaptionLog(const std::filesystem::path& file);
  ~CaptionLog();
  CaptionLog(CaptionLog&&) noexcept;

  enum class Entry { kNone, kCaption, kError };
  // What the file said of the image when it was opened; its last line of several.
  [[nodiscard]] Entry find(const std::filesystem::path& image) const;
  void add(const FileCaption& file);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lorapress

#endif  // LORAPRESS_CAPTION_FILES_H_
