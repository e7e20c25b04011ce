#include "quant/rounding.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "test_util.h"

namespace lorapress {
namespace {

using test::Random;

std::vector<float> padded(std::vector<float> values, size_t count) {
  values.resize(count, 0.0F);
  return values;
}

// Weighted as searched_scales weighs.
double weighted_error(const BlockRows& rows,
                      const std::vector<float>& scales,
                      const std::vector<uint8_t>& zeros,
                      const std::vector<float>& importance) {
  std::vector<uint8_t> packed(rows.count() * rows.block_size / 2);
  std::vector<float> restored(rows.count() * rows.block_size);
  pack_blocks(rows, scales, zeros, packed);
  restore_blocks(packed, scales, zeros, rows.block_size, restored);
  const size_t width = rows.blocks * rows.block_size;
  double sum = 0.0;
  for (size_t i = 0; i < restored.size(); ++i) {
    const size_t block = i / rows.block_size * rows.block_size;
    double mean = 0.0;
    for (size_t k = 0; k < rows.block_size; ++k) {
      mean += std::pow(static_cast<double>(rows.values[block + k]), 2);
    }
    mean /= static_cast<double>(rows.block_size);
    const auto value = static_cast<double>(rows.values[i]);
    const double error = static_cast<double>(restored[i]) - value;
    sum += error * error *
           (importance.empty() ? mean + value * value : static_cast<double>(importance[i % width]));
  }
  return sum;
}

TEST(NearestScales, PutTheLargestValueOnMinusEight) {
  for (const float sign : {1.0F, -1.0F}) {
    const std::vector<float> values =
        padded({sign * 4.0F, sign * -3.5F, 0.25F, -0.25F, 0.2F, -0.75F, 0.75F}, 16);
    const BlockRows rows{values.data(), 1, 1, 16};
    std::vector<float> scales(1);
    nearest_scales(rows, scales, {});
    EXPECT_EQ(scales[0], sign * -0.5F);
    std::vector<uint8_t> packed(8);
    pack_blocks(rows, scales, {}, packed);
    // Halves go away from zero in the shifted scale, as roundf(x / scale + 8) does; 15 is the end.
    EXPECT_EQ(packed[0] & 15, 0);
    EXPECT_EQ(packed[0] >> 4, 15);
    const int quarter = packed[1] & 15;
    EXPECT_EQ(quarter, sign > 0 ? 8 : 9);
    EXPECT_EQ(packed[1] >> 4, sign > 0 ? 9 : 8);
    EXPECT_EQ(packed[2] & 15, 8);
    EXPECT_EQ(packed[2] >> 4, sign > 0 ? 10 : 7);
    EXPECT_EQ(packed[3] & 15, sign > 0 ? 7 : 10);
    EXPECT_EQ(packed[3] >> 4, 8);
    EXPECT_EQ(packed[7], 0x88);
  }
}

TEST(NearestScales, CoverTheRangeWithZeroPoints) {
  const std::vector<float> values = padded({-1.0F, 2.0F, 0.5F}, 16);
  const BlockRows rows{values.data(), 1, 1, 16};
  std::vector<float> scales(1);
  std::vector<uint8_t> zeros(1);
  nearest_scales(rows, scales, zeros);
  EXPECT_EQ(scales[0], 0.2F);
  EXPECT_EQ(zeros[0], 5);
  std::vector<uint8_t> packed(8);
  pack_blocks(rows, scales, zeros, packed);
  EXPECT_EQ(packed[0], 15 << 4 | 0);
  EXPECT_EQ(packed[1], 5 << 4 | 8);
  EXPECT_EQ(packed[2], 0x55);
}

TEST(NearestScales, KeepZerosAndSurviveTheEndsOfFloat32) {
  constexpr float kMost = std::numeric_limits<float>::max();
  const std::vector<float> values = padded({0.0F}, 16);
  for (const bool symmetric : {true, false}) {
    std::vector<float> scales(1, -1.0F);
    std::vector<uint8_t> zeros(symmetric ? 0 : 1);
    std::vector<uint8_t> packed(8);
    const BlockRows rows{values.data(), 1, 1, 16};
    nearest_scales(rows, scales, zeros);
    EXPECT_EQ(scales[0], 0.0F);
    searched_scales(rows, {}, scales, zeros);
    EXPECT_EQ(scales[0], 0.0F);
    pack_blocks(rows, scales, zeros, packed);
    EXPECT_EQ(packed[5] & 15, symmetric ? 8 : zeros[0]);
    for (const float largest : {kMost, 1e-30F, 1e-39F}) {
      const std::vector<float> far = padded({largest, -largest, largest / 2}, 16);
      const BlockRows wide{far.data(), 1, 1, 16};
      for (const bool search : {false, true}) {
        if (search) {
          searched_scales(wide, {}, scales, zeros);
        } else {
          nearest_scales(wide, scales, zeros);
        }
        pack_blocks(wide, scales, zeros, packed);
        std::vector<float> restored(16);
        restore_blocks(packed, scales, zeros, 16, restored);
        EXPECT_TRUE(all_finite(scales) && all_finite(restored)) << largest;
        if (largest > 1e-38F) {
          EXPECT_NEAR(restored[2] / largest, 0.5F, 0.08F) << largest << search << symmetric;
        }
      }
    }
  }
}

TEST(AllFinite, SeesEveryPosition) {
  for (const size_t count : {1U, 16U, 37U, 64U}) {
    std::vector<float> values(count, -1.0F);
    EXPECT_TRUE(all_finite(values));
    for (size_t i = 0; i < count; ++i) {
      for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                              std::numeric_limits<float>::infinity(),
                              -std::numeric_limits<float>::infinity()}) {
        values[i] = bad;
        EXPECT_FALSE(all_finite(values)) << i << " of " << count;
      }
      values[i] = 3e38F;
    }
  }
}

// The best scale of a small block by brute force.
double best_error(const BlockRows& rows, const std::vector<float>& importance) {
  double best = std::numeric_limits<double>::infinity();
  for (int step = -10000; step <= 10000; ++step) {
    best = std::min(best, weighted_error(rows, {static_cast<float>(step) * 4e-5F}, {}, importance));
  }
  return best;
}

TEST(SearchedScales, AreNeverWorseThanNearestAndCloseToTheBest) {
  Random random(5);
  for (int round = 0; round < 20; ++round) {
    const std::vector<float> values = random.numbers(32);
    std::vector<float> importance;
    if (round % 2 == 1) {
      for (const float value : random.numbers(32)) {
        importance.push_back(value * value * 4.0F + 0.01F);
      }
    }
    const BlockRows rows{values.data(), 1, 1, 32};
    std::vector<float> nearest(1);
    std::vector<float> searched(1);
    nearest_scales(rows, nearest, {});
    searched_scales(rows, importance, searched, {});
    const double error = weighted_error(rows, searched, {}, importance);
    EXPECT_LE(error, weighted_error(rows, nearest, {}, importance) * (1 + 1e-6));
    EXPECT_LE(error, best_error(rows, importance) * 1.12) << round;
  }
}

TEST(SearchedScales, GainFromZeroPointsWhereValuesLieOnOneSide) {
  Random random(6);
  std::vector<float> values = random.numbers(64 * 20);
  for (float& value : values) {
    value = value * 0.3F + 0.5F;
  }
  const BlockRows rows{values.data(), 20, 2, 32};
  std::vector<float> scales(40);
  std::vector<uint8_t> zeros(40);
  searched_scales(rows, {}, scales, {});
  const double symmetric = weighted_error(rows, scales, {}, {});
  nearest_scales(rows, scales, zeros);
  const double ends = weighted_error(rows, scales, zeros, {});
  searched_scales(rows, {}, scales, zeros);
  const double searched = weighted_error(rows, scales, zeros, {});
  EXPECT_LT(ends, symmetric);
  EXPECT_LT(searched, ends * 0.95);
}

// Each row by itself gives what all rows together give.
TEST(SearchedScales, DoNotDependOnTheNeighbours) {
  Random random(7);
  const std::vector<float> values = random.numbers(19 * 96);
  const std::vector<float> importance(96, 1.5F);
  for (const bool symmetric : {true, false}) {
    std::vector<float> scales(19 * 6);
    std::vector<uint8_t> zeros(symmetric ? 0 : scales.size());
    searched_scales({values.data(), 19, 6, 16}, importance, scales, zeros);
    for (size_t row = 0; row < 19; ++row) {
      std::vector<float> alone(6);
      std::vector<uint8_t> alone_zeros(symmetric ? 0 : 6);
      searched_scales({values.data() + row * 96, 1, 6, 16}, importance, alone, alone_zeros);
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), scales.begin() + row * 6)) << row;
      EXPECT_TRUE(symmetric ||
                  std::equal(alone_zeros.begin(), alone_zeros.end(), zeros.begin() + row * 6));
    }
  }
}

}  // namespace
}  // namespace lorapress
