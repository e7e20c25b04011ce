#include "lorapress/score.h"

#include <set>

#include "base/fail.h"
#include "base/file.h"
#include "score/caption_file.h"
#include "score/scores.h"

namespace lorapress {

ScoreReport score_captions(std::span<const CaptionToScore> captions) {
  if (captions.empty()) {
    fail(ErrorCode::kInvalidArgument, "no captions to score");
  }
  std::vector<std::vector<std::string>> references;
  std::vector<std::string> texts;
  for (const CaptionToScore& caption : captions) {
    if (caption.references.empty()) {
      fail(ErrorCode::kInvalidArgument, "{}: a caption without references", caption.image);
    }
    references.push_back(caption.references);
    texts.push_back(caption.caption);
  }
  const References counted(references);
  const std::vector<CaptionCounts> counts = counted.count(texts);
  ScoreReport report;
  report.metrics = metrics_of(counts);
  report.reference_words = counted.mean_words();
  for (size_t i = 0; i < captions.size(); ++i) {
    report.captions.push_back({captions[i], metrics_of(counts[i])});
  }
  return report;
}

ScoreReport score(const ScoreOptions& options) {
  return with_file_errors([&] {
    CaptionFile candidates = read_caption_file(options.candidates, options.split, true);
    const CaptionFile references = read_caption_file(options.references, options.split, false);
    const ImageIndex index(references.images);
    std::vector<CaptionToScore> captions;
    std::set<size_t> used;
    size_t unknown = 0;
    for (const ImageCaptions& image : candidates.images) {
      const std::string& name = image.image.empty() ? image.number : image.image;
      if (image.captions.size() != 1) {
        fail(ErrorCode::kInvalidFile,
             "{}: {} has {} captions, expected one; are the two files in the right order?",
             options.candidates.string(),
             name,
             image.captions.size());
      }
      const size_t found = index.find(image.image, image.number);
      if (found == std::string::npos) {
        ++unknown;
        continue;
      }
      if (!used.insert(found).second) {
        fail(ErrorCode::kMismatch,
             "{}: {} is there twice, under two names",
             options.candidates.string(),
             name);
      }
      captions.push_back({name, image.captions[0], references.images[found].captions});
    }
    if (captions.empty()) {
      fail(ErrorCode::kMismatch,
           "no image of {} is in {}; images are matched by their names, as {} and {} here",
           options.candidates.string(),
           options.references.string(),
           candidates.images.empty() ? "none" : candidates.images[0].image,
           references.images.empty() ? "none" : references.images[0].image);
    }
    ScoreReport report = score_captions(captions);
    const auto note = [&report](size_t count, std::string_view what) {
      if (count > 0) {
        report.notes.push_back(fmt::format("{} {}", count, what));
      }
    };
    note(unknown, "captions are of images without references and do not count");
    note(references.images.size() - used.size(),
         "images of the references have no caption and do not count");
    note(static_cast<size_t>(candidates.errors),
         "lines say that an image could not be captioned; these do not count");
    return report;
  });
}

}  // namespace lorapress
