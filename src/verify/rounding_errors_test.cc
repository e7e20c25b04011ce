#include "verify/rounding_errors.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

namespace lorapress {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(RoundingExcess, IsTheMedianOfRowsAndTheLargestOfAll) {
  RoundingExcess excess;
  EXPECT_EQ(excess.typical(), 0.0);
  EXPECT_EQ(excess.largest(), 0.0);
  for (const auto& [error, rounding] : {std::pair{2e-5, 1e-5}, {9e-5, 1e-6}, {1e-5, 1e-5}}) {
    excess.add(error, rounding);
  }
  EXPECT_DOUBLE_EQ(excess.typical(), 2.0);  // of 1, 2 and 90: where errors cancelled says nothing
  EXPECT_DOUBLE_EQ(excess.largest(), 9.0);
  EXPECT_DOUBLE_EQ(excess.largest_error(), 9e-5);
  EXPECT_DOUBLE_EQ(excess.largest_rounding(), 1e-5);
}

TEST(RoundingExcess, KnowsNoRoundingBelowFloat32AndNoNumbersAtAll) {
  RoundingExcess excess;
  excess.add(1e-6, 0.0);
  EXPECT_NEAR(excess.typical(), 4.2, 0.1);
  excess.add(kNan, 1e-6);  // a file's NaN is another fault
  EXPECT_EQ(excess.rows(), 1U);
  RoundingExcess overflowed;
  overflowed.add(0.5, kNan);  // a forward in float16 that overflows allows everything
  EXPECT_EQ(overflowed.typical(), 0.0);
  EXPECT_EQ(overflowed.largest(), 0.0);
  EXPECT_TRUE(std::isinf(largest_rounding(std::vector<double>{1e-6, kNan})));
}

TEST(RoundingOf, IsRelativeForEachRow) {
  Rows prefix(2, 2);
  prefix.values = {3.0F, 4.0F, 0.0F, 10.0F};
  Rows moved = prefix;
  moved.values[1] = 4.5F;
  Rows logits(1, 2);
  logits.values = {101.0F, 99.0F};
  Rows shifted(1, 2);
  shifted.values = {101.5F, 99.5F};
  const RoundingErrors rounding = rounding_of(prefix, logits, moved, shifted);
  ASSERT_EQ(rounding.image_tokens.size(), 2U);
  EXPECT_DOUBLE_EQ(rounding.image_tokens[0], 0.1);
  EXPECT_DOUBLE_EQ(rounding.image_tokens[1], 0.0);
  ASSERT_EQ(rounding.logits.size(), 1U);
  EXPECT_NEAR(rounding.logits[0], 0.5, 1e-9);
}

TEST(NearTie, IsALeadThatRoundingTurns) {
  const std::vector<float> exact{1.0F, 0.99F, -1.0F, -0.99F};  // spread 1 (0.995)
  EXPECT_TRUE(is_near_tie(exact, 0, 1, 1e-3));                 // 0.01 of 0.032
  EXPECT_FALSE(is_near_tie(exact, 0, 1, 1e-4));
  EXPECT_FALSE(is_near_tie(exact, 0, 2, 1e-3));
  EXPECT_TRUE(is_near_tie(exact, 1, 0, 0.0));  // the float64 forward prefers the file's token
}

}  // namespace
}  // namespace lorapress
