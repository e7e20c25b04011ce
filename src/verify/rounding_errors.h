// The tolerance for a file, in units of the errors that rounding alone causes for this checkpoint.
//
// The float32 forward of the reference has the same weights as a file and other rounding errors,
// and both go through the same model, which amplifies these errors alike: by 10 or by 10^5. So its
// distance from the float64 forward is the unit in which a file's distance is judged.
#ifndef LORAPRESS_VERIFY_ROUNDING_ERRORS_H_
#define LORAPRESS_VERIFY_ROUNDING_ERRORS_H_

#include <span>
#include <vector>

#include "verify/rows.h"

namespace lorapress {

// Distances of a forward from the float64 one, row by row, relative to its size: of each image
// token, and of the logits of each position.
struct RoundingErrors {
  std::vector<double> image_tokens;
  std::vector<double> logits;
};
RoundingErrors rounding_of(const Rows& exact_prefix,
                           const Rows& exact_logits,
                           const Rows& prefix,
                           const Rows& logits);

// The largest of `rows`; infinite where one is NaN.
double largest_rounding(std::span<const double> rows);

// A file's distances beside those of rounding, over many rows. One row says little, since rounding
// errors may cancel in it; the median of many shows whether the file only rounds or is another model.
class RoundingExcess {
 public:
  // A row whose error is NaN is left out: that is a fault of its own.
  void add(double error, double rounding);

  [[nodiscard]] size_t rows() const { return ratios_.size(); }
  [[nodiscard]] double largest_error() const { return error_; }
  [[nodiscard]] double largest_rounding() const { return rounding_; }
  // Median of error / rounding of the same row; 0 without rows.
  [[nodiscard]] double typical() const;
  // Largest error / largest rounding.
  [[nodiscard]] double largest() const;

 private:
  std::vector<double> ratios_;
  double error_ = 0.0;
  double rounding_ = 0.0;
};

// Whether the lead of `token` over `other` in the exact logits is less than rounding may reverse,
// given its relative error `rounding`.
bool is_near_tie(std::span<const float> exact, int64_t token, int64_t other, double rounding);

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_ROUNDING_ERRORS_H_
