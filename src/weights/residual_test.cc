// Parts of small matrices whose SVD and QR are known by construction; tests/cc has PEFT's results.
#include "weights/residual.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "test_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::message_of;
using test::Random;

constexpr double kNear = 1e-6;

// diag(4, 3, 2, 1) in the first four rows or columns, zeros elsewhere.
WeightPtr diagonal(int64_t rows, int64_t cols, const std::vector<float>& values = {4, 3, 2, 1}) {
  std::vector<float> all(static_cast<size_t>(rows * cols), 0.0F);
  for (size_t i = 0; i < values.size(); ++i) {
    all[i * static_cast<size_t>(cols) + i] = values[i];
  }
  return float_constant({rows, cols}, all);
}

void expect_diagonal(const Weight& weight, const std::vector<float>& expected) {
  const std::vector<float> all = read_all_float32(weight);
  const auto cols = static_cast<size_t>(weight.cols());
  for (size_t i = 0; i < all.size(); ++i) {
    const bool on = i / cols == i % cols && i / cols < expected.size();
    ASSERT_NEAR(all[i], on ? expected[i / cols] : 0.0F, kNear) << i;
  }
}

TEST(WithoutPart, DropsTheLargestOrTheSmallestSingularValues) {
  for (const auto& [rows, cols] : {std::pair{4, 7}, {7, 4}, {4, 4}}) {
    const WeightPtr base = diagonal(rows, cols);
    expect_diagonal(*without_part(base, {MatrixPart::kLargest, 2, 1.0, "x"}), {0, 0, 2, 1});
    expect_diagonal(*without_part(base, {MatrixPart::kLargest, 4, 1.0, "x"}), {0, 0, 0, 0});
    expect_diagonal(*without_part(base, {MatrixPart::kSmallest, 1, 1.0, "x"}), {4, 3, 2, 0});
    expect_diagonal(*without_part(base, {MatrixPart::kFirstColumns, 1, 0.5, "x"}), {2, 3, 2, 1});
  }
}

// Q[:, :r] R[:r] equals W in its first r columns, and what is left is orthogonal to them.
TEST(WithoutPart, ProjectsOnTheFirstColumns) {
  Random random(7);
  const WeightPtr base = float_constant({300, 11}, random.numbers(3300));
  const std::vector<float> left =
      read_all_float32(*without_part(base, {MatrixPart::kFirstColumns, 3, 1.0, "x"}));
  const std::vector<float> before = read_all_float32(*base);
  for (size_t col = 0; col < 11; ++col) {
    for (size_t first = 0; first < 3; ++first) {
      double product = 0.0;
      for (size_t row = 0; row < 300; ++row) {
        product += static_cast<double>(left[row * 11 + col]) * before[row * 11 + first];
      }
      EXPECT_NEAR(product, 0.0, 1e-4);
    }
  }
}

// More rows and columns than one stripe: the parts of a sum of two known rank-1 matrices.
TEST(WithoutPart, ReadsInStripes) {
  for (const auto& [rows, cols] : {std::pair<size_t, size_t>{600, 300}, {300, 600}}) {
    std::vector<float> values(rows * cols);
    std::vector<float> small(rows * cols);
    for (size_t i = 0; i < values.size(); ++i) {
      const float alternating = (i / cols + i % cols) % 2 == 0 ? 1.0F : -1.0F;
      small[i] = 0.25F * alternating;  // orthogonal to the ones
      values[i] = 1.0F + small[i];
    }
    const Shape shape{static_cast<int64_t>(rows), static_cast<int64_t>(cols)};
    const std::vector<float> left = read_all_float32(
        *without_part(float_constant(shape, values), {MatrixPart::kLargest, 1, 1.0, "x"}));
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_NEAR(left[i], small[i], 1e-5) << i;
    }
  }
}

TEST(WithoutPart, IsRoundedAsTheBaseIsStored) {
  Random random(3);
  const WeightPtr base = cast(float_constant({9, 8}, random.numbers(72)), DType::kBF16);
  const WeightPtr left = without_part(base, {MatrixPart::kLargest, 2, 1.0, "x"});
  EXPECT_EQ(left->dtype(), DType::kBF16);
  EXPECT_EQ(read_all_float32(*left),
            read_all_float32(*cast(cast(left, DType::kF32), DType::kBF16)));
}

TEST(WithoutPart, RefusesWhatTheBaseDoesNotDetermine) {
  const auto read = [](const WeightPtr& base, MatrixPart part, int64_t rank) {
    return message_of(ErrorCode::kUnsupported, [&] {
      read_all_float32(*without_part(base, {part, rank, 1.0, "adapter: tensor"}));
    });
  };
  const std::string equal = read(diagonal(4, 5, {4, 3, 3, 1}), MatrixPart::kLargest, 2);
  EXPECT_TRUE(contains(equal, "adapter: tensor") && contains(equal, "rank 2 are equal")) << equal;
  read(diagonal(4, 5, {4, 1, 1, 3}), MatrixPart::kSmallest, 1);
  EXPECT_TRUE(contains(read(diagonal(4, 5, {4, 0, 3, 1}), MatrixPart::kFirstColumns, 2),
                       "depend on each other"));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const WeightPtr broken = diagonal(4, 5, {4, nan, 3, 1});
  EXPECT_TRUE(contains(read(broken, MatrixPart::kLargest, 2), "finite"));
  EXPECT_TRUE(contains(read(broken, MatrixPart::kFirstColumns, 2), "finite"));
  // A part that is all zeros is determined.
  expect_diagonal(*without_part(diagonal(4, 5, {4, 3}), {MatrixPart::kSmallest, 1, 1.0, "x"}),
                  {4, 3});
}

TEST(WithoutPart, NeedsAMatrixAndARankThatFits) {
  const auto make = [](const WeightPtr& base, MatrixPart part, int64_t rank) {
    without_part(base, {part, rank, 1.0, "x"});
  };
  message_of(ErrorCode::kUnsupported,
             [&] { make(zeros(DType::kF32, {4, 4, 1}), MatrixPart::kLargest, 1); });
  message_of(ErrorCode::kUnsupported,
             [&] { make(zeros(DType::kI8, {4, 4}), MatrixPart::kLargest, 1); });
  message_of(ErrorCode::kMismatch, [&] { make(diagonal(4, 9), MatrixPart::kLargest, 5); });
  message_of(ErrorCode::kMismatch, [&] { make(diagonal(4, 9), MatrixPart::kSmallest, 4); });
}

TEST(MovedBy, AddsTheDifference) {
  const auto of = [](float value) { return float_constant({1, 2}, std::vector<float>(2, value)); };
  EXPECT_EQ(read_all_float32(*moved_by(of(10), of(3), of(5))), std::vector<float>(2, 12.0F));
}

}  // namespace
}  // namespace lorapress
