// Captions of many images: folders are walked, images are decoded when they are needed, and a JSONL
// file gets one line per image and can be continued.
#ifndef LORAPRESS_CAPTION_FILES_H_
#define LORAPRESS_CAPTION_FILES_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "lorapress/caption.h"
#include "lorapress/error.h"

namespace lorapress {

// The .jpg, .jpeg, .png, .webp, .gif, .bmp, .tif and .tiff files below a folder, in order of their
// paths. Links are followed; a folder that is reached twice, for example by a loop of links, is
// walked once. Other files are ignored. Throws kNotFound or kIo for a folder that cannot be read.
std::vector<std::filesystem::path> find_images(const std::filesystem::path& folder);

using ImageSource = std::variant<std::filesystem::path, ImageBytes, ImagePixels>;

struct ImageCaption {
  Caption caption;
  std::optional<Error> error;  // if set, there is no caption
};

// May throw to stop.
using ImageCaptionFn = std::function<void(size_t image, ImageCaption result)>;

// Captions `batch` images at a time. Every image is reported once, in order, by its index. An error of one image is in
// its result; options that fit no image throw.
void caption_images(const Captioner& captioner,
                    std::span<const ImageSource> images,
                    const GenerateOptions& options,
                    int64_t batch,
                    const ImageCaptionFn& report);

struct FileCaption {
  std::filesystem::path image;
  Caption caption;
  std::optional<Error> error;  // if set, there is no caption
};

// One line, without the line break:
//   {"image":"a/b.png","text":"...","ids":[1,2],"score":0.0,"encode_ms":0.0,"prefill_ms":0.0,"decode_ms":0.0}
//   {"image":"a/c.png","error":{"code":"invalid_file","message":"..."}}
// Bytes that are not UTF-8 are written as U+FFFD. "score" is written only with beams.
std::string to_json_line(const FileCaption& file);

// May throw to stop.
using FileCaptionFn = std::function<void(const FileCaption& file)>;

// Captions `batch` images at a time, and captioner.at_once() such groups side by side; memory does not grow with the
// number of images. Every image is reported once, in order, on the caller's thread. An error of one image is reported in its FileCaption; options that fit
// no image throw.
void caption_files(const Captioner& captioner,
                   std::span<const std::filesystem::path> images,
                   const GenerateOptions& options,
                   int64_t batch,
                   const FileCaptionFn& report);

inline constexpr int64_t kMaxCaptionBatch = 256;

// A JSONL file of captions that grows line by line. A line is written whole or not at all, and a
// partial last line of an interrupted run is cut off when the file is opened again.
class CaptionLog {
 public:
  // Creates the file or continues it. Throws kInvalidFile for a file of another kind, which is not
  // changed, and kExists while another process writes to the file.
  explicit CaptionLog(const std::filesystem::path& file);
  ~CaptionLog();
  CaptionLog(CaptionLog&&) noexcept;

  enum class Entry { kNone, kCaption, kError };
  // The entry of the image in the file when it was opened; the last one of several.
  [[nodiscard]] Entry find(const std::filesystem::path& image) const;
  void add(const FileCaption& file);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lorapress

#endif  // LORAPRESS_CAPTION_FILES_H_
