#include "lorapress/caption_files.h"

#include <algorithm>
#include <set>

#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "base/ordered_work.h"
#include "base/system.h"
#include "runtime/image/image.h"

namespace lorapress {
namespace {

namespace fs = std::filesystem;

class Walk {
 public:
  std::vector<fs::path> found;

  void folder(const fs::path& path) {
    const auto identity = sys::identity_of(path);
    if (!identity || !seen_.insert(*identity).second) {
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
  std::set<std::pair<uint64_t, uint64_t>> seen_;
};

// Whether an error concerns every image: wrong options, or files that do not match.
bool concerns_all(ErrorCode code) {
  return code == ErrorCode::kInvalidArgument || code == ErrorCode::kMismatch;
}

// Images that could be read are captioned together; where that fails, one by one.
std::vector<ImageCaption> captions_together(const Captioner& captioner,
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

void caption_images(const Captioner& captioner,
                    std::span<const ImageSource> images,
                    const GenerateOptions& options,
                    int64_t batch,
                    const ImageCaptionFn& report) {
  if (batch < 1 || batch > kMaxCaptionBatch) {
    fail(
        ErrorCode::kInvalidArgument, "options.batch {}, expected 1 to {}", batch, kMaxCaptionBatch);
  }
  if (images.empty()) {
    return;
  }
  // Every thread gets some of the images, and as many as the others.
  const size_t workers = std::clamp<size_t>(captioner.at_once(), 1, images.size());
  const size_t size = even_piece(images.size(), workers, static_cast<size_t>(batch));
  const auto make = [&](size_t index) {
    const size_t begin = index * size;
    return captions_together(
        captioner, images.subspan(begin, std::min(size, images.size() - begin)), options);
  };
  size_t reported = 0;
  const auto take = [&](std::vector<ImageCaption> captions) {
    for (ImageCaption& caption : captions) {
      report(reported++, std::move(caption));
    }
  };
  const size_t parts = (images.size() + size - 1) / size;
  if (workers > 1) {
    ordered_work<std::vector<ImageCaption>>(parts, static_cast<unsigned>(workers), make, take);
    return;
  }
  for (size_t index = 0; index < parts; ++index) {
    take(make(index));
  }
}

void caption_files(const Captioner& captioner,
                   std::span<const fs::path> images,
                   const GenerateOptions& options,
                   int64_t batch,
                   const FileCaptionFn& report) {
  const std::vector<ImageSource> sources(images.begin(), images.end());
  caption_images(captioner, sources, options, batch, [&](size_t index, ImageCaption result) {
    report({images[index], std::move(result.caption), std::move(result.error)});
  });
}

}  // namespace lorapress
