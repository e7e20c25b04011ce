#include "score/bootstrap.h"

#include <algorithm>
#include <array>
#include <functional>
#include <vector>

namespace lorapress {
namespace {

constexpr size_t kMetrics = 5;
using Values = std::array<double, kMetrics>;

Values values_of(const CaptionMetrics& metrics) {
  return {metrics.cider, metrics.bleu[3], metrics.rouge_l, metrics.meteor, metrics.words};
}

Values minus(const CaptionMetrics& left, const CaptionMetrics& right) {
  Values values = values_of(left);
  const Values others = values_of(right);
  std::ranges::transform(values, others, values.begin(), std::minus());
  return values;
}

// https://prng.di.unimi.it/splitmix64.c
class Random {
 public:
  uint64_t next() {
    uint64_t mixed = state_ += 0x9E3779B97F4A7C15U;
    mixed = (mixed ^ (mixed >> 30U)) * 0xBF58476D1CE4E5B9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94D049BB133111EBU;
    return mixed ^ (mixed >> 31U);
  }

 private:
  uint64_t state_ = 0;
};

// The value below which a share of the sorted ones lies, between neighbours in proportion.
double quantile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

MetricDifferences paired_differences(std::span<const CaptionCounts> base,
                                     std::span<const CaptionCounts> other) {
  Random random;
  std::array<std::vector<double>, kMetrics> drawn;
  std::vector<size_t> chosen(base.size());
  for (size_t round = 0; round < kResamples; ++round) {
    std::ranges::generate(chosen, [&] { return static_cast<size_t>(random.next() % base.size()); });
    const Values values = minus(metrics_of(other, chosen), metrics_of(base, chosen));
    for (size_t i = 0; i < kMetrics; ++i) {
      drawn.at(i).push_back(values.at(i));
    }
  }
  const Values all = minus(metrics_of(other), metrics_of(base));
  const auto difference = [&](size_t i) {
    std::ranges::sort(drawn.at(i));
    return MetricDifference{all.at(i), quantile(drawn.at(i), 0.025), quantile(drawn.at(i), 0.975)};
  };
  return {difference(0), difference(1), difference(2), difference(3), difference(4)};
}

}  // namespace lorapress
