// How sure a difference between two sets of captions of the same images is.
#ifndef LORAPRESS_SCORE_BOOTSTRAP_H_
#define LORAPRESS_SCORE_BOOTSTRAP_H_

#include <cstdint>
#include <span>

#include "score/scores.h"

namespace lorapress {

inline constexpr size_t kResamples = 1000;

// Paired bootstrap: images are drawn with replacement, as many as there are, kResamples times, the same ones for
// both; BLEU and METEOR are computed from the sums of each draw, CIDEr-D keeps the document frequencies of all images.
// The draws depend on the number of images alone (splitmix64 from 0), so that the same input gives the same interval.
// REQUIRES: as many captions in both, one at least.
MetricDifferences paired_differences(std::span<const CaptionCounts> base,
                                     std::span<const CaptionCounts> other);

}  // namespace lorapress

#endif  // LORAPRESS_SCORE_BOOTSTRAP_H_
