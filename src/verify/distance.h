// How far logits are from the reference's.
#ifndef LORAPRESS_VERIFY_DISTANCE_H_
#define LORAPRESS_VERIFY_DISTANCE_H_

#include <span>

#include "lorapress/verify.h"

namespace lorapress {

// Index of the largest value, the first of equals; -1 where a value is not finite.
int64_t argmax_or_none(std::span<const float> logits);

// KL(p || q) in nats of the distributions softmax(reference) and softmax(logits):
// sum_i p_i (log p_i - log q_i). Computed in double; never below 0.
double kl_divergence(std::span<const float> reference, std::span<const float> logits);

// |difference| / |reference - mean of reference|: logits are equal up to a constant.
double relative_logit_error(std::span<const float> reference, std::span<const float> logits);

// |difference| / |reference| over everything added, as one long vector.
class RelativeError {
 public:
  void add(std::span<const float> reference, std::span<const float> values);
  [[nodiscard]] double value() const;

 private:
  double difference_ = 0.0;
  double size_ = 0.0;
};

// Adds one position, where `token` is the reference's; returns its KL divergence. Logits that are
// not finite match nothing and change only the count of tokens.
double add_position(LogitDistance& distance,
                    std::span<const float> reference,
                    int64_t token,
                    std::span<const float> logits);
// `total` becomes the distance over both; the mean is weighted by tokens.
void merge_distance(LogitDistance& total, const LogitDistance& more);

}  // namespace lorapress

#endif  // LORAPRESS_VERIFY_DISTANCE_H_
