#include "verify/rounding_errors.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "verify/distance.h"

namespace lorapress {
namespace {

// Errors of a row may cancel; no float32 forward is closer than this over many rows.
constexpr double kLeastRounding = 0x1p-22;

// Rounding errors of single logits reach five times their root mean square, two of them decide a
// tie, and a row's own rounding is known only to a factor of a few.
constexpr double kNearTie = 32.0;

double at_least(double rounding) {
  return std::isfinite(rounding) ? std::max(rounding, kLeastRounding)
                                 : std::numeric_limits<double>::infinity();
}

}  // namespace

RoundingErrors rounding_of(const Rows& exact_prefix,
                           const Rows& exact_logits,
                           const Rows& prefix,
                           const Rows& logits) {
  RoundingErrors made;
  for (int64_t row = 0; row < prefix.rows; ++row) {
    RelativeError error;
    error.add(exact_prefix.row(row), prefix.row(row));
    made.image_tokens.push_back(error.value());
  }
  for (int64_t row = 0; row < logits.rows; ++row) {
    made.logits.push_back(relative_logit_error(exact_logits.row(row), logits.row(row)));
  }
  return made;
}

double largest_rounding(std::span<const double> rows) {
  double largest = kLeastRounding;
  for (const double rounding : rows) {
    largest = std::max(largest, at_least(rounding));
  }
  return largest;
}

void RoundingExcess::add(double error, double rounding) {
  if (!std::isfinite(error)) {
    return;
  }
  ratios_.push_back(error / at_least(rounding));
  error_ = std::max(error_, error);
  rounding_ = std::max(rounding_, at_least(rounding));
}

double RoundingExcess::typical() const {
  if (ratios_.empty()) {
    return 0.0;
  }
  std::vector<double> sorted = ratios_;
  const auto middle = sorted.begin() + std::ssize(sorted) / 2;
  std::ranges::nth_element(sorted, middle);
  return *middle;
}

double RoundingExcess::largest() const {
  return rounding_ == 0.0 ? 0.0 : error_ / rounding_;
}

bool is_near_tie(std::span<const float> exact, int64_t token, int64_t other, double rounding) {
  double mean = 0.0;
  for (const float value : exact) {
    mean += static_cast<double>(value);
  }
  mean /= static_cast<double>(exact.size());
  double squares = 0.0;
  for (const float value : exact) {
    squares += (static_cast<double>(value) - mean) * (static_cast<double>(value) - mean);
  }
  const double spread = std::sqrt(squares / static_cast<double>(exact.size()));
  const double lead = static_cast<double>(exact[static_cast<size_t>(token)]) -
                      static_cast<double>(exact[static_cast<size_t>(other)]);
  return lead <= kNearTie * rounding * spread;
}

}  // namespace lorapress
