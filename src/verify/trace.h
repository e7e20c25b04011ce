// The fidelity trace of Firefox's tests for a captioner (toolkit/components/ml, its fidelity tests): images with the
// reference forward's results for them, against which any runtime of the folder can be held.
#ifndef LORAPRESS_VERIFY_TRACE_H_
#define LORAPRESS_VERIFY_TRACE_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lorapress/verify.h"

#include "base/json.h"
#include "bundles/manifest.h"
#include "verify/parity.h"
#include "verify/report/pictures.h"

namespace lorapress {

// An image is in the trace where every token of its caption leads the next one by at least this much of a logit; a
// closer choice may fall the other way in a right file.
inline constexpr double kClearLead = 0.25;
// Of the first step's logits so many are in the trace that the others have less than this share of the probability, since
// who compares leaves the others out; 64 to 4096.
inline constexpr double kLeftMass = 1e-7;

// Mean over the positions of [positions, width].
std::vector<double> pooled(std::span<const float> values, int64_t width);
double cosine(std::span<const double> left, std::span<const double> right);

// Gathers examples. Throws kUnsupported for folders that are not of the bundle transformers.js.
class TraceWriter {
 public:
  TraceWriter(const VerifyOptions& options, const Manifest& manifest);

  // Before the group's files are compared. REQUIRES: the caption's logits are there.
  void add(const ReferenceImage& reference);
  // The trace, and notes on images that are left out. Its tolerances are twice what the worst of the report's dtypes
  // is off, and at least 1e-4. Throws kInvalidArgument where no image is clear.
  std::string finish(const std::vector<Picture>& pictures, VerifyReport& report) const;

 private:
  struct Example {
    size_t image = 0;
    double lead = 0.0;  // the smallest one of the caption
    Json outputs;
  };
  Json models_;
  std::vector<Example> examples_;
};

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_TRACE_H_
