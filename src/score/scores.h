// All metrics of captions, kept so that they can be added up over any choice of images.
#ifndef LORAPRESS_SCORE_SCORES_H_
#define LORAPRESS_SCORE_SCORES_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lorapress/score.h"

#include "score/meteor.h"
#include "score/ngram_scores.h"

namespace lorapress {

// Of one caption.
struct CaptionCounts {
  BleuCounts bleu;
  MeteorCounts meteor;
  double cider = 0.0;
  double rouge_l = 0.0;
};

CaptionMetrics metrics_of(const CaptionCounts& caption);
// Over the captions with these indices, each as often as it is there. REQUIRES: one at least.
CaptionMetrics metrics_of(std::span<const CaptionCounts> captions, std::span<const size_t> chosen);
CaptionMetrics metrics_of(std::span<const CaptionCounts> captions);

// References of images, counted once for several sets of captions.
class References {
 public:
  // REQUIRES: a reference for every image. Throws kInvalidArgument for captions that are too long.
  explicit References(std::span<const std::vector<std::string>> texts);

  // One caption for each image, in their order.
  [[nodiscard]] std::vector<CaptionCounts> count(std::span<const std::string> captions) const;
  [[nodiscard]] double mean_words() const;

 private:
  struct OfImage {
    std::vector<Words> tokens;  // as ROUGE-L sees them
    std::vector<Words> meteor_words;
    std::vector<Counted> counted;
  };
  std::vector<OfImage> images_;
  Vocabulary vocabulary_;
};

}  // namespace lorapress

#endif  // LORAPRESS_SCORE_SCORES_H_
