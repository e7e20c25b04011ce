#include "lorapress/caption_files.h"

#include <algorithm>
#include <set>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "base/ordered_work.h"
#include "runtime/image/image.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

class Walk {
 public:
  std::vector<fs::path> found;

  void folder(const fs::path& path) {
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0 || !seen_.emplace(info.st_dev, info.st_ino).second) {
      return;
    }
    std::vector<fs::path> entries;
    for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
      entries.push_back(entry.path());
    }
    std::ranges::sort(entries);
    for (const fs::path& entry : entries) {
      std::error_code error;  // for a dangling link, which is reported when it is opened
      const fs::file_status status = fs::status(entry, error);
      if (fs::is_directory(status)) {
        folder(entry);
      } else if (is_image_name(entry) && (fs::is_regular_file(status) || error)) {
        found.push_back(entry);
      }
    }
  }

 private:
  std::set<std::pair<dev_t, ino_t>> seen_;
};

// Whether an error concerns every image: wrong options, or files that do not match.
bool concerns_all(ErrorCode code) {
  return code == ErrorCode::kInvalidArgument || code == ErrorCode::kMismatch;
}

// Images that could be read, captioned together; where that fails, one by one.
class Batch {
 public:
  Batch(const Captioner& captioner, const GenerateOptions& options)
      : captioner_(captioner), options_(options) {}

  void add(const fs::path& image) {
    files_.push_back({image, {}, {}});
    try {
      pixels_.push_back(captioner_.load_pixels(image));
      places_.push_back(files_.size() - 1);
    } catch (const Error& error) {
      files_.back().error = error;
    }
  }

  void caption() {
    if (pixels_.empty()) {
      return;
    }
    try {
      std::vector<Caption> captions = captioner_.caption_batch(pixels_, options_);
      for (size_t i = 0; i < places_.size(); ++i) {
        files_[places_[i]].caption = std::move(captions[i]);
      }
    } catch (const Error& error) {
      if (concerns_all(error.code())) {
        throw;
      }
      caption_alone();
    }
  }

  [[nodiscard]] const std::vector<FileCaption>& files() const { return files_; }

 private:
  void caption_alone() {
    for (size_t i = 0; i < places_.size(); ++i) {
      FileCaption& file = files_[places_[i]];
      try {
        file.caption = captioner_.caption_pixels(pixels_[i], options_);
      } catch (const Error& error) {
        file.error = error;
      }
    }
  }

  const Captioner& captioner_;
  const GenerateOptions& options_;
  std::vector<FileCaption> files_;
  std::vector<std::vector<float>> pixels_;
  std::vector<size_t> places_;  // index in files_ of each picture
};

}  // namespace

std::vector<fs::path> find_images(const fs::path& folder) {
  return with_file_errors([&] {
    Walk walk;
    walk.folder(folder);
    return std::move(walk.found);
  });
}

std::string to_json_line(const FileCaption& file) {
  const auto dump = [](const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  std::string line = "{\"image\":" + dump(file.image.generic_string());
  if (file.error) {
    const Json error = {{"code", file.error->code_name()}, {"message", file.error->what()}};
    return line + ",\"error\":" + dump(error) + "}";
  }
  const Caption& caption = file.caption;
  line += ",\"text\":" + dump(caption.text) + ",\"ids\":" + dump(caption.ids);
  if (caption.score != 0.0) {
    line += ",\"score\":" + dump(caption.score);
  }
  line += ",\"encode_ms\":" + dump(caption.encode_ms);
  line += ",\"prefill_ms\":" + dump(caption.prefill_ms);
  return line + ",\"decode_ms\":" + dump(caption.decode_ms) + "}";
}

void caption_files(const Captioner& captioner,
                   std::span<const fs::path> images,
                   const GenerateOptions& options,
                   int64_t batch,
                   const FileCaptionFn& report) {
  if (batch < 1 || batch > kMaxCaptionBatch) {
    fail(
        ErrorCode::kInvalidArgument, "options.batch {}, expected 1 to {}", batch, kMaxCaptionBatch);
  }
  // Every thread gets some of the images.
  const size_t workers =
      std::clamp<size_t>(captioner.at_once(), 1, std::max<size_t>(images.size(), 1));
  const size_t size =
      std::clamp<size_t>((images.size() + workers - 1) / workers, 1, static_cast<size_t>(batch));
  const auto make = [&](size_t index) {
    Batch part(captioner, options);
    const size_t begin = index * size;
    for (const fs::path& image : images.subspan(begin, std::min(size, images.size() - begin))) {
      part.add(image);
    }
    part.caption();
    return part.files();
  };
  const auto take = [&](const std::vector<FileCaption>& files) {
    std::ranges::for_each(files, report);
  };
  const size_t parts = (images.size() + size - 1) / size;
  if (workers > 1) {
    ordered_work<std::vector<FileCaption>>(parts, static_cast<unsigned>(workers), make, take);
    return;
  }
  for (size_t index = 0; index < parts; ++index) {
    take(make(index));
  }
}

}  // namespace lorapress
