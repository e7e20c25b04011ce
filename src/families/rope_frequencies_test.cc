#include "families/rope_frequencies.h"

#include <cmath>
#include <gtest/gtest.h>
#include <numbers>

#include "test_util.h"

namespace lorapress {
namespace {

double plain(double theta, int64_t i, int64_t head_dim) {
  return std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
}

RopeConfig scaled(const std::string& type, double theta, double factor) {
  RopeConfig rope;
  rope.rope_type = type;
  rope.rope_theta = theta;
  rope.factor = factor;
  return rope;
}

void expect_close(float got, double expected) {
  EXPECT_NEAR(got, expected, 2e-6 * std::fabs(expected));
}

TEST(RopeFrequencies, Default) {
  const std::vector<float> found = inverse_frequencies(scaled("default", 10000.0, 8.0), 8);
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found[0], 1.0F);  // the factor is ignored
  expect_close(found[1], 0.1);
  expect_close(found[2], 0.01);
  expect_close(found[3], 0.001);
  for (const int64_t head_dim : {2, 16, 64, 128}) {
    const std::vector<float> wide = inverse_frequencies(scaled("default", 130000.0, 1.0), head_dim);
    for (int64_t i = 0; i < head_dim / 2; ++i) {
      expect_close(wide[static_cast<size_t>(i)], plain(130000.0, i, head_dim));
    }
  }
}

TEST(RopeFrequencies, Linear) {
  const std::vector<float> found = inverse_frequencies(scaled("linear", 500000.0, 2.5), 16);
  for (int64_t i = 0; i < 8; ++i) {
    expect_close(found[static_cast<size_t>(i)], plain(500000.0, i, 16) / 2.5);
  }
}

// theta 10000, head_dim 16: wavelengths 6.28, 19.9, 62.8, 199, 628, ... With 64 positions, factors
// 1 and 4: up to 16 stays, above 64 is slowed, between is blended.
TEST(RopeFrequencies, Llama3) {
  RopeConfig rope = scaled("llama3", 10000.0, 8.0);
  rope.low_freq_factor = 1.0;
  rope.high_freq_factor = 4.0;
  rope.original_max_position_embeddings = 64;
  const std::vector<float> found = inverse_frequencies(rope, 16);
  expect_close(found[0], 1.0);
  for (const int64_t i : {1, 2}) {
    const double frequency = plain(10000.0, i, 16);
    const double wavelength = 2.0 * std::numbers::pi / frequency;
    const double smooth = (64.0 / wavelength - 1.0) / 3.0;
    EXPECT_GT(smooth, 0.0);
    EXPECT_LT(smooth, 1.0);
    expect_close(found[static_cast<size_t>(i)],
                 (1.0 - smooth) * frequency / 8.0 + smooth * frequency);
  }
  expect_close(found[1], 0.2443846);  // by hand: smooth = 0.7403565, wavelength = 19.86918
  for (const int64_t i : {3, 4, 5, 6, 7}) {
    expect_close(found[static_cast<size_t>(i)], plain(10000.0, i, 16) / 8.0);
  }
}

// transformers' _compute_longrope_parameters: 1 / (short_factor * theta ** (2 i / dim)).
TEST(RopeFrequencies, Longrope) {
  RopeConfig rope = scaled("longrope", 10000.0, 8.0);
  rope.short_factor = {1.0, 1.25, 1.5, 4.0};
  const std::vector<float> found = inverse_frequencies(rope, 8);
  for (const int64_t i : {0, 1, 2, 3}) {
    const auto at = static_cast<size_t>(i);
    expect_close(found[at], plain(10000.0, i, 8) / rope.short_factor[at]);
  }
}

}  // namespace
}  // namespace lorapress
