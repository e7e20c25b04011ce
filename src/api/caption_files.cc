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

// Images that could be read are captioned together; where that fails, one by one.
std::vector<ImageCaption> caption_group(const Captioner& captioner,
                                        std::span<const ImageSource> images,
                                        const GenerateOptions& options) {
  std::vector<ImageCaption> results(images.size());
  std::vector<std::vector<float>> pixels;
  std::vector<size_t> places;  // index in results of each element of pixels
  for (size_t i = 0; i < images.size(); ++i) {
    try {
      pixels.push_back(
          std::visit([&](const auto& source) { return captioner.load_pixels(source); }, images[i]));
      places.push_back(i);
    } catch (const Error& error) {
      results[i].error = error;
    }
  }
  if (pixels.empty()) {
    return results;
  }
  try {
    std::vector<Caption> captions = captioner.caption_batch(pixels, options);
    for (size_t i = 0; i < places.size(); ++i) {
      results[places[i]].caption = std::move(captions[i]);
    }
    return results;
  } catch (const Error& error) {
    if (concerns_all(error.code())) {
      throw;
    }
  }
  for (size_t i = 0; i < places.size(); ++i) {
    try {
      results[places[i]].caption = captioner.caption_pixels(pixels[i], options);
    } catch (const Error& error) {
      results[places[i]].error = error;
    }
  }
  return results;
}

// Groups of at most `most` images, captioner.at_once() of them side by side and so many in each that every thread gets
// some; take(a group's first index, its captions) on the caller's thread, in order.
template <typename Image, typename Take>
void caption_groups(const Captioner& captioner,
                    std::span<const Image> images,
                    size_t most,
                    const GenerateOptions& options,
                    const Take& take) {
  using Done = std::pair<size_t, std::vector<ImageCaption>>;
  const size_t at_once =
      std::clamp<size_t>(captioner.at_once(), 1, std::max<size_t>(images.size(), 1));
  const size_t size = std::clamp<size_t>((images.size() + at_once - 1) / at_once, 1, most);
  const size_t groups = (images.size() + size - 1) / size;
  const auto make = [&](size_t index) {
    const auto part =
        images.subspan(index * size).first(std::min(size, images.size() - index * size));
    const std::vector<ImageSource> sources(part.begin(), part.end());
    return Done(index * size, caption_group(captioner, sources, options));
  };
  const auto give = [&](Done done) { take(done.first, std::move(done.second)); };
  if (std::min(at_once, groups) > 1) {
    ordered_work<Done>(groups, static_cast<unsigned>(std::min(at_once, groups)), make, give);
    return;
  }
  for (size_t index = 0; index < groups; ++index) {
    give(make(index));
  }
}

}  // namespace

std::vector<fs::path> find_images(const fs::path& folder) {
  return with_file_errors([&] {
    Walk walk;
    walk.folder(folder);
    return std::move(walk.found);
  });
}

std::vector<ImageCaption> caption_images(const Captioner& captioner,
                                         std::span<const ImageSource> images,
                                         const GenerateOptions& options) {
  std::vector<ImageCaption> results;
  caption_groups(captioner, images, kMaxCaptionBatch, options, [&](size_t, auto captions) {
    std::ranges::move(captions, std::back_inserter(results));
  });
  return results;
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
  const auto take = [&](size_t begin, std::vector<ImageCaption> captions) {
    for (size_t i = 0; i < captions.size(); ++i) {
      report({images[begin + i], std::move(captions[i].caption), std::move(captions[i].error)});
    }
  };
  caption_groups(captioner, images, static_cast<size_t>(batch), options, take);
}

}  // namespace lorapress
