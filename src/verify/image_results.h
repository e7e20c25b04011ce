// The reference's results for a group of images: captions, and how far rounding alone moves them.
#ifndef LORAPRESS_VERIFY_IMAGE_RESULTS_H_
#define LORAPRESS_VERIFY_IMAGE_RESULTS_H_

#include <functional>
#include <span>
#include <vector>

#include "runtime/generation/sampling.h"
#include "verify/parity.h"
#include "verify/reference.h"

namespace lorapress {

struct ReferenceRun {
  const ReferenceModel& reference;
  int64_t max_new_tokens = 0;
  std::vector<int64_t> eos_token_ids;
  std::function<TokenRules(const ReferenceImage& image)> rules;
  bool measures_rounding = false;  // of float32
  bool measures_float16 = false;   // of float16, too
};

// Fills prefix, caption and, for the first images of all, the errors of rounding; prefix and the
// caption's logits are then those of the float64 forward. Fills `masked` where an image has `seen`.
// REQUIRES: pixels and prompts of the images are set.
void run_reference(const ReferenceRun& run, std::span<ReferenceImage> group);

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_IMAGE_RESULTS_H_
