#include "verify/distance.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lorapress {
namespace {

// log(sum_i exp(x_i)), from the largest down so that nothing overflows.
double log_sum_exp(std::span<const float> values) {
  const double most = *std::ranges::max_element(values);
  double sum = 0.0;
  for (const float value : values) {
    sum += std::exp(static_cast<double>(value) - most);
  }
  return most + std::log(sum);
}

}  // namespace

int64_t argmax_or_none(std::span<const float> logits) {
  if (logits.empty() ||
      !std::ranges::all_of(logits, [](float value) { return std::isfinite(value); })) {
    return -1;
  }
  return std::ranges::max_element(logits) - logits.begin();
}

double kl_divergence(std::span<const float> reference, std::span<const float> logits) {
  const double norm_p = log_sum_exp(reference);
  const double norm_q = log_sum_exp(logits);
  double sum = 0.0;
  for (size_t i = 0; i < reference.size(); ++i) {
    const double log_p = static_cast<double>(reference[i]) - norm_p;
    const double log_q = static_cast<double>(logits[i]) - norm_q;
    sum += std::exp(log_p) * (log_p - log_q);
  }
  return std::max(sum, 0.0);
}

double relative_logit_error(std::span<const float> reference, std::span<const float> logits) {
  double mean = 0.0;
  for (const float value : reference) {
    mean += static_cast<double>(value);
  }
  mean /= static_cast<double>(reference.size());
  double difference = 0.0;
  double size = 0.0;
  for (size_t i = 0; i < reference.size(); ++i) {
    const double off = static_cast<double>(logits[i]) - static_cast<double>(reference[i]);
    const double centred = static_cast<double>(reference[i]) - mean;
    difference += off * off;
    size += centred * centred;
  }
  constexpr double kSmallestSize = std::numeric_limits<double>::min();
  return std::sqrt(difference / std::max(size, kSmallestSize));
}

void RelativeError::add(std::span<const float> reference, std::span<const float> values) {
  for (size_t i = 0; i < reference.size(); ++i) {
    const double off = static_cast<double>(values[i]) - static_cast<double>(reference[i]);
    difference_ += off * off;
    size_ += static_cast<double>(reference[i]) * static_cast<double>(reference[i]);
  }
}

double RelativeError::value() const {
  return difference_ == 0.0
             ? 0.0
             : std::sqrt(difference_ / std::max(size_, std::numeric_limits<double>::min()));
}

double add_position(LogitDistance& distance,
                    std::span<const float> reference,
                    int64_t token,
                    std::span<const float> logits) {
  ++distance.tokens;
  const int64_t found = argmax_or_none(logits);
  if (found < 0) {
    return std::numeric_limits<double>::infinity();
  }
  distance.matched += found == token ? 1 : 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    distance.largest_difference =
        std::max(distance.largest_difference,
                 std::fabs(static_cast<double>(logits[i]) - static_cast<double>(reference[i])));
  }
  distance.relative_error =
      std::max(distance.relative_error, relative_logit_error(reference, logits));
  const double kl = kl_divergence(reference, logits);
  distance.kl_mean += (kl - distance.kl_mean) / static_cast<double>(distance.tokens);
  distance.kl_max = std::max(distance.kl_max, kl);
  return kl;
}

void merge_distance(LogitDistance& total, const LogitDistance& more) {
  const int64_t tokens = total.tokens + more.tokens;
  if (tokens != 0) {
    total.kl_mean = (total.kl_mean * static_cast<double>(total.tokens) +
                     more.kl_mean * static_cast<double>(more.tokens)) /
                    static_cast<double>(tokens);
  }
  total.tokens = tokens;
  total.matched += more.matched;
  total.largest_difference = std::max(total.largest_difference, more.largest_difference);
  total.relative_error = std::max(total.relative_error, more.relative_error);
  total.kl_max = std::max(total.kl_max, more.kl_max);
}

}  // namespace lorapress
