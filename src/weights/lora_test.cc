// Merged weights against a reference in double precision; tests/cc has PEFT's own results.
#include "weights/lora.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <tuple>

#include "base/convert.h"
#include "test_util.h"

namespace lorapress {
namespace {

using test::message_of;
using test::Random;
using Doubles = std::vector<double>;

struct Matrix {
  int64_t rows = 0;
  int64_t cols = 0;
  Doubles values;
  [[nodiscard]] double at(int64_t row, int64_t col) const {
    return values[static_cast<size_t>(row * cols + col)];
  }
};

Doubles exact(const Weight& weight) {
  const std::vector<float> values = read_all_float32(weight);
  return {values.begin(), values.end()};
}

WeightPtr random_weight(DType dtype, Shape shape, Random& random, float scale) {
  size_t count = 1;
  for (const int64_t dim : shape) {
    count *= static_cast<size_t>(dim);
  }
  return cast(float_constant(std::move(shape), random.numbers(count, scale)), dtype);
}

struct Case {
  int64_t rows = 0;  // of the base as it is stored
  int64_t cols = 0;
  int64_t rank = 0;
  bool transposed = false;
  bool dora = false;
  DType dtype = DType::kF32;
};

LoraDelta random_delta(const Case& wanted, Random& random) {
  const int64_t out_features = wanted.transposed ? wanted.cols : wanted.rows;
  const int64_t in_features = wanted.transposed ? wanted.rows : wanted.cols;
  LoraDelta delta{random_weight(wanted.dtype, {wanted.rank, in_features}, random, 0.5F),
                  random_weight(wanted.dtype, {out_features, wanted.rank}, random, 0.5F),
                  0.75,
                  nullptr,
                  wanted.transposed};
  if (wanted.dora) {
    std::vector<float> values = random.numbers(static_cast<size_t>(out_features));
    for (float& value : values) {
      value = std::fabs(value) + 0.5F;
    }
    delta.magnitude = float_constant({out_features}, values);
  }
  return delta;
}

// The formulas of lora.h, element by element.
Matrix reference(const Matrix& base, const LoraDelta& delta) {
  const Doubles a = exact(*delta.a);
  const Doubles b = exact(*delta.b);
  const auto rank = static_cast<size_t>(delta.a->rows());
  const auto in_features = static_cast<size_t>(delta.a->cols());
  Matrix merged = base;
  for (int64_t row = 0; row < base.rows; ++row) {
    for (int64_t col = 0; col < base.cols; ++col) {
      const auto out = static_cast<size_t>(delta.transposed ? col : row);
      const auto in = static_cast<size_t>(delta.transposed ? row : col);
      double sum = 0.0;
      for (size_t k = 0; k < rank; ++k) {
        sum += b[out * rank + k] * a[k * in_features + in];
      }
      merged.values[static_cast<size_t>(row * base.cols + col)] += delta.scaling * sum;
    }
  }
  if (!delta.magnitude) {
    return merged;
  }
  const Doubles magnitude = exact(*delta.magnitude);
  Doubles squares(magnitude.size());
  const auto feature = [&](int64_t row, int64_t col) {
    return static_cast<size_t>(delta.transposed ? col : row);
  };
  for (int64_t row = 0; row < base.rows; ++row) {
    for (int64_t col = 0; col < base.cols; ++col) {
      squares[feature(row, col)] += merged.at(row, col) * merged.at(row, col);
    }
  }
  for (int64_t row = 0; row < base.rows; ++row) {
    for (int64_t col = 0; col < base.cols; ++col) {
      const size_t i = feature(row, col);
      merged.values[static_cast<size_t>(row * base.cols + col)] *=
          magnitude[i] / std::sqrt(squares[i]);
    }
  }
  return merged;
}

void expect_near(const Weight& weight, const Matrix& expected) {
  const std::vector<float> got = read_all_float32(weight);
  ASSERT_EQ(got.size(), expected.values.size());
  for (size_t i = 0; i < got.size(); ++i) {
    // Sums of at most 40 terms below 1 in float32: 2^-24 each, generously.
    ASSERT_NEAR(got[i], expected.values[i], 2e-6) << i;
  }
}

// A block is the same numbers, bit for bit, whatever else is read: files do not depend on chunks.
void expect_blocks(const Weight& weight, uint32_t seed) {
  Random random(seed);
  const size_t size = dtype_size(weight.dtype());
  const auto cols = static_cast<size_t>(weight.cols());
  const std::vector<float> whole = read_all_float32(weight);
  std::vector<std::byte> stored(whole.size() * size);
  weight.read({0, weight.rows(), 0, weight.cols()}, stored);
  std::vector<std::byte> rounded(stored.size());
  from_float32(weight.dtype(), whole, rounded);
  ASSERT_EQ(stored, rounded);  // rounded once, from the sums
  for (int i = 0; i < 60; ++i) {
    const int64_t row = random.below(weight.rows());
    const int64_t col = random.below(weight.cols());
    const Block block{
        row, random.between(1, weight.rows() - row), col, random.between(1, weight.cols() - col)};
    std::vector<float> floats(block.elements());
    std::vector<std::byte> bytes(block.elements() * size + 1);
    weight.read_floats(block, floats);
    weight.read(block, std::span(bytes).subspan(1));
    const auto width = static_cast<size_t>(block.cols);
    for (size_t r = 0; r < static_cast<size_t>(block.rows); ++r) {
      const size_t from = (static_cast<size_t>(row) + r) * cols + static_cast<size_t>(col);
      ASSERT_EQ(std::memcmp(&floats[r * width], &whole[from], width * 4), 0);
      ASSERT_EQ(std::memcmp(&bytes[1 + r * width * size], &stored[from * size], width * size), 0);
    }
  }
}

TEST(MergedWeight, FollowsTheFormulas) {
  uint32_t seed = 0;
  for (const bool transposed : {false, true}) {
    for (const bool dora : {false, true}) {
      for (const auto& [rows, cols, rank] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1},
                                             {5, 300, 3},
                                             {140, 7, 40},
                                             {65, 130, 8}}) {
        Random random(++seed);
        const Case wanted{rows, cols, rank, transposed, dora};
        const WeightPtr base = random_weight(DType::kF32, {rows, cols}, random, 1.0F);
        const LoraDelta delta = random_delta(wanted, random);
        const WeightPtr merged = merge_lora(base, delta);
        EXPECT_EQ(merged->shape(), base->shape());
        EXPECT_FALSE(merged->extent());
        expect_near(*merged, reference({rows, cols, exact(*base)}, delta));
        expect_blocks(*merged, seed);
      }
    }
  }
}

TEST(MergedWeight, NestsAnyKinds) {
  Random random(50);
  const WeightPtr base = random_weight(DType::kF32, {33, 70}, random, 1.0F);
  WeightPtr merged = base;
  Matrix expected{33, 70, exact(*base)};
  for (const bool dora : {false, true, false, true}) {
    const LoraDelta delta = random_delta({33, 70, 4, false, dora}, random);
    merged = merge_lora(merged, delta);
    expected = reference(expected, delta);
  }
  expect_near(*merged, expected);
  expect_blocks(*merged, 50);
}

// With several adapters PEFT takes the norm of DoRA over the weight before any of them.
TEST(MergedWeight, TakesTheNormFromTheUnmergedWeight) {
  Random random(55);
  const WeightPtr base = random_weight(DType::kF32, {20, 30}, random, 1.0F);
  const LoraDelta first = random_delta({20, 30, 3, false, false}, random);
  LoraDelta second = random_delta({20, 30, 2, false, true}, random);
  const WeightPtr merged = merge_lora(merge_lora(base, first, base), second, base);
  const Matrix unmerged{20, 30, exact(*base)};
  const Matrix scaled = reference(unmerged, second);  // m / norm * (W0 + delta)
  Matrix expected = reference(unmerged, first);
  second.magnitude = nullptr;
  const Matrix plain = reference(unmerged, second);
  expected = reference(expected, second);
  for (size_t i = 0; i < expected.values.size(); ++i) {
    expected.values[i] *= scaled.values[i] / plain.values[i];  // the factor alone
  }
  expect_near(*merged, expected);
  expect_blocks(*merged, 56);
}

TEST(MergedWeight, RoundsLowPrecisionOnceAtTheEnd) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    Random random(60);
    const WeightPtr base = random_weight(dtype, {20, 30}, random, 1.0F);
    WeightPtr merged = base;
    Matrix expected{20, 30, exact(*base)};
    for (int i = 0; i < 3; ++i) {
      const LoraDelta delta = random_delta({20, 30, 2, false, i == 1, dtype}, random);
      merged = merge_lora(merged, delta);
      expected = reference(expected, delta);
    }
    EXPECT_EQ(merged->dtype(), dtype);
    expect_near(*merged, expected);  // read_floats gives the sums as they are
    expect_near(*cast(merged, DType::kF32), expected);
    expect_near(*transpose(transpose(cast(merged, DType::kF32))), expected);
    const WeightPtr turned = transpose(merged);
    std::vector<float> floats(20 * 30);
    turned->read_floats({0, 30, 0, 20}, floats);
    expect_near(*transpose(float_constant({30, 20}, floats)), expected);
    expect_blocks(*merged, 61);
  }
}

TEST(MergedWeight, TakesAFactorOfAnotherDtype) {
  Random random(70);
  const WeightPtr base = random_weight(DType::kBF16, {12, 9}, random, 1.0F);
  const LoraDelta delta = random_delta({12, 9, 2, false, false, DType::kF32}, random);
  expect_near(*merge_lora(base, delta), reference({12, 9, exact(*base)}, delta));
}

TEST(MergedWeight, RefusesWhatDoesNotFit) {
  const WeightPtr base = zeros(DType::kF32, {6, 4});
  const auto merge = [&](const Shape& a, const Shape& b, bool transposed) {
    return [&base, a, b, transposed] {
      merge_lora(base, {zeros(DType::kF32, a), zeros(DType::kF32, b), 1.0, nullptr, transposed});
    };
  };
  EXPECT_NO_THROW(merge({2, 4}, {6, 2}, false)());
  EXPECT_NO_THROW(merge({2, 6}, {4, 2}, true)());
  message_of(ErrorCode::kMismatch, merge({2, 4}, {6, 2}, true));
  message_of(ErrorCode::kMismatch, merge({2, 6}, {4, 2}, false));
  message_of(ErrorCode::kMismatch, merge({2, 5}, {6, 2}, false));
  message_of(ErrorCode::kMismatch, merge({2, 4}, {7, 2}, false));
  message_of(ErrorCode::kMismatch, merge({3, 4}, {6, 2}, false));
  message_of(ErrorCode::kMismatch, merge({4}, {6, 2}, false));
}

// Before anything is written, and so with the tensor's name in the message.
TEST(MergedWeight, RefusesAMagnitudeThatDoesNotFit) {
  const auto merge = [](const Shape& magnitude, bool transposed) {
    return [magnitude, transposed] {
      const Shape base = transposed ? Shape{4, 6} : Shape{6, 4};
      merge_lora(zeros(DType::kF32, base),
                 {zeros(DType::kF32, {2, 4}),
                  zeros(DType::kF32, {6, 2}),
                  1.0,
                  zeros(DType::kF32, magnitude),
                  transposed});
    };
  };
  EXPECT_NO_THROW(merge({6}, false)());
  EXPECT_NO_THROW(merge({6, 1}, false)());
  EXPECT_NO_THROW(merge({1, 6}, true)());
  message_of(ErrorCode::kMismatch, merge({4}, false));
  message_of(ErrorCode::kMismatch, merge({4}, true));
}

TEST(SumWeight, AddsAScaledVector) {
  Random random(80);
  const std::vector<float> bias = random.numbers(50);
  const std::vector<float> more = random.numbers(50);
  const WeightPtr sum = add_scaled(float_constant({50}, bias), float_constant({50}, more), 0.3);
  const std::vector<float> got = read_all_float32(*sum);
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i], bias[i] + 0.3F * more[i]);
  }
  const WeightPtr half =
      add_scaled(cast(float_constant({50}, bias), DType::kF16), float_constant({50}, more), 2.0);
  EXPECT_EQ(half->dtype(), DType::kF16);
  expect_blocks(*half, 80);
  message_of(ErrorCode::kMismatch,
             [&] { add_scaled(float_constant({50}, bias), zeros(DType::kF32, {49}), 1.0); });
}

}  // namespace
}  // namespace lorapress
