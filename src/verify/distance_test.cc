#include "verify/distance.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

namespace lorapress {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(KlDivergence, IsTheTextbookSum) {
  // p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2)
  const std::vector<float> p{std::log(2.0F), 0.0F, 0.0F};
  const std::vector<float> q{0.0F, 0.0F, std::log(2.0F)};
  EXPECT_NEAR(kl_divergence(p, q), 0.25 * std::log(2.0), 1e-7);
  EXPECT_EQ(kl_divergence(p, p), 0.0);
}

TEST(KlDivergence, KnowsNoConstantAndNoOverflow) {
  const std::vector<float> p{1000.0F, 999.0F, -1000.0F};
  const std::vector<float> moved{-5.0F, -6.0F, -2005.0F};
  EXPECT_NEAR(kl_divergence(p, moved), 0.0, 1e-9);
  EXPECT_NEAR(kl_divergence(moved, p), 0.0, 1e-9);
}

TEST(Argmax, IsTheFirstOfEqualsAndNoneOfNan) {
  EXPECT_EQ(argmax_or_none(std::vector<float>{1, 3, 3}), 1);
  EXPECT_EQ(argmax_or_none(std::vector<float>{1, std::nanf(""), 3}), -1);
  EXPECT_EQ(argmax_or_none(std::vector<float>{1, kInfinity}), -1);
  EXPECT_EQ(argmax_or_none(std::vector<float>{}), -1);
}

TEST(Position, OfNoNumbersMatchesNothing) {
  const std::vector<float> reference{0.0F, 1.0F};
  LogitDistance distance;
  EXPECT_TRUE(std::isinf(
      add_position(distance, reference, 1, std::vector<float>{std::nanf(""), std::nanf("")})));
  EXPECT_EQ(distance.tokens, 1);
  EXPECT_EQ(distance.matched, 0);
  add_position(distance, reference, 1, reference);
  EXPECT_EQ(distance.match(), 0.5);
  EXPECT_EQ(distance.largest_difference, 0.0);
}

TEST(Merge, WeighsMeansByTokens) {
  LogitDistance total;
  merge_distance(total, {.tokens = 3, .matched = 3, .largest_difference = 1, .kl_mean = 1});
  merge_distance(total,
                 {.tokens = 1, .matched = 0, .largest_difference = 2, .kl_mean = 5, .kl_max = 5});
  EXPECT_EQ(total.tokens, 4);
  EXPECT_EQ(total.matched, 3);
  EXPECT_EQ(total.largest_difference, 2.0);
  EXPECT_EQ(total.kl_mean, 2.0);
  EXPECT_EQ(total.kl_max, 5.0);
  EXPECT_EQ(LogitDistance().match(), 1.0);
}

TEST(Relative, ErrorsAreOfTheWholeVector) {
  RelativeError error;
  error.add(std::vector<float>{3.0F}, std::vector<float>{3.0F});
  error.add(std::vector<float>{4.0F}, std::vector<float>{4.5F});
  EXPECT_DOUBLE_EQ(error.value(), 0.1);
  EXPECT_EQ(RelativeError().value(), 0.0);
  // Logits are the same up to a constant: only what stands out of the mean counts.
  EXPECT_NEAR(
      relative_logit_error(std::vector<float>{101.0F, 99.0F}, std::vector<float>{101.1F, 99.1F}),
      0.1,
      1e-4);
}

}  // namespace
}  // namespace lorapress
