#include "verify/caption_quality.h"

#include <algorithm>

#include "base/fail.h"
#include "score/bootstrap.h"
#include "score/scores.h"

namespace lorapress {

std::optional<CaptionFile> read_references(const VerifyOptions& options) {
  if (options.references.empty()) {
    return std::nullopt;
  }
  if (options.images.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "options.references without options.images; name the folder of these images");
  }
  return read_caption_file(options.references, options.split, false);
}

void add_caption_quality(const VerifyOptions& options,
                         const CaptionFile& references,
                         VerifyReport& report) {
  const ImageIndex index(references.images);
  std::vector<std::vector<std::string>> texts;
  std::vector<size_t> scored;  // indices of the report's images
  int64_t without = 0;
  for (size_t i = 0; i < report.images.size(); ++i) {
    if (!report.images[i].error.empty()) {
      continue;
    }
    const size_t found = index.find(report.images[i].name, "");
    if (found == std::string::npos) {
      ++without;
      continue;
    }
    texts.push_back(references.images[found].captions);
    scored.push_back(i);
  }
  if (scored.empty()) {
    fail(ErrorCode::kMismatch,
         "no image of {} is in {}; images are matched by their names, as {} and {} here",
         options.images.string(),
         options.references.string(),
         report.images.front().name,
         references.images.empty() ? "none" : references.images.front().image);
  }
  if (without > 0) {
    report.notes.push_back(fmt::format(
        "{} images have no reference captions; metrics are over {}", without, scored.size()));
  }
  const References counted(texts);
  const auto count = [&](const auto& text_of) {
    std::vector<std::string> captions;
    for (const size_t image : scored) {
      captions.push_back(text_of(image));
    }
    return counted.count(captions);
  };
  const std::vector<CaptionCounts> base =
      count([&](size_t image) { return report.images[image].text; });
  report.quality = CaptionQuality{metrics_of(base), {}};
  report.scored_images = std::ssize(scored);
  for (DtypeParity& dtype : report.dtypes) {
    const std::vector<CaptionCounts> own = count([&](size_t image) {
      const auto found = std::ranges::find(dtype.images, image, &ImageParity::image);
      return found == dtype.images.end() ? std::string() : found->text;
    });
    dtype.quality = CaptionQuality{metrics_of(own), paired_differences(base, own)};
  }
}

}  // namespace lorapress
