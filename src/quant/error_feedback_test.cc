#include "quant/error_feedback.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "test_util.h"

namespace lorapress {
namespace {

using test::Random;
using test::TempFolder;

// Rows of inputs that go together: a few hidden causes, and a little of their own.
std::vector<float> correlated(Random& random, size_t rows, size_t size) {
  constexpr size_t kCauses = 5;
  const std::vector<float> mix = Random(99).numbers(kCauses * size);
  std::vector<float> out(rows * size);
  for (size_t row = 0; row < rows; ++row) {
    const std::vector<float> causes = random.numbers(kCauses);
    const std::vector<float> own = random.numbers(size);
    for (size_t i = 0; i < size; ++i) {
      float sum = 0.2F * own[i];
      for (size_t cause = 0; cause < kCauses; ++cause) {
        sum += causes[cause] * mix[cause * size + i];
      }
      out[row * size + i] = sum;
    }
  }
  return out;
}

struct Case {
  Case(size_t outputs, size_t columns, size_t block_size)
      : inputs(columns), blocks((columns + block_size - 1) / block_size) {
    const std::vector<float> numbers = Random(2).numbers(outputs * inputs);
    const size_t width = blocks * block_size;
    values.resize(outputs * width);
    for (size_t row = 0; row < outputs; ++row) {
      std::copy_n(numbers.begin() + static_cast<ptrdiff_t>(row * inputs),
                  inputs,
                  values.begin() + static_cast<ptrdiff_t>(row * width));
    }
    rows = {values.data(), outputs, blocks, block_size};
  }

  std::vector<float> restored(const ErrorFeedback::Factor* factor,
                              bool symmetric,
                              DType scale_dtype = DType::kF32) {
    std::vector<float> scales(rows.count());
    std::vector<uint8_t> zeros(symmetric ? 0 : rows.count());
    std::vector<uint8_t> packed(values.size() / 2);
    if (factor != nullptr) {
      round_with_feedback(rows, *factor, scale_dtype, scales, zeros, packed);
    } else {
      searched_scales(rows, {}, scales, zeros);
      pack_blocks(rows, scales, zeros, packed);
    }
    std::vector<float> out(values.size());
    restore_blocks(packed, scales, zeros, rows.block_size, out);
    return out;
  }

  // Squared error of what the layer gives for some inputs.
  double error(const std::vector<float>& weights, const std::vector<float>& x) const {
    const size_t width = blocks * rows.block_size;
    double sum = 0.0;
    for (size_t at = 0; at < x.size(); at += inputs) {
      for (size_t row = 0; row < rows.rows; ++row) {
        double output = 0.0;
        for (size_t i = 0; i < inputs; ++i) {
          output += static_cast<double>(x[at + i]) *
                    static_cast<double>(weights[row * width + i] - values[row * width + i]);
        }
        sum += output * output;
      }
    }
    return sum;
  }

  size_t inputs;
  size_t blocks;
  std::vector<float> values;
  BlockRows rows{};
};

std::shared_ptr<const ErrorFeedback> learn(const std::vector<float>& x,
                                           size_t size,
                                           const TempFolder& folder) {
  InputMoments moments(size);
  moments.add(x);
  return ErrorFeedback::of(moments, std::make_shared<ScratchFile>(folder.path()));
}

TEST(InputMoments, SumProductsOfAllPairs) {
  for (const size_t size : {1U, 7U, 33U, 64U, 101U}) {
    const size_t count = 300;  // more than wait at a time
    const std::vector<float> x = Random(1).numbers(count * size);
    InputMoments moments(size);
    const auto cut = static_cast<ptrdiff_t>(17 * size);
    moments.add({x.begin(), x.begin() + cut});
    moments.add({x.begin() + cut, x.end()});
    moments.flush();
    for (size_t i = 0; i < size; ++i) {
      for (size_t j = i; j < size; ++j) {
        double sum = 0.0;
        for (size_t row = 0; row < count; ++row) {
          sum += static_cast<double>(x[row * size + i]) * static_cast<double>(x[row * size + j]);
        }
        ASSERT_NEAR(moments.sums()[i * size + j], sum, 1e-3) << size << " " << i << " " << j;
      }
    }
  }
}

// H + damping = (I + U) D (I + U)^T, up to the scale of D.
TEST(ErrorFeedback, FactorsTheMoments) {
  const TempFolder folder;
  constexpr size_t kSize = 40;
  Random random(4);
  const std::vector<float> x = correlated(random, 200, kSize);
  InputMoments moments(kSize);
  moments.add(x);
  const auto learned = ErrorFeedback::of(moments, std::make_shared<ScratchFile>(folder.path()));
  EXPECT_TRUE(folder.names().empty());  // the scratch file has no name
  const auto factor = learned->load();
  EXPECT_EQ(factor, learned->load());
  const auto element = [&](size_t i, size_t j) {
    double sum = 0.0;
    for (size_t k = std::max(i, j); k < kSize; ++k) {
      const double left = i == k ? 1.0 : static_cast<double>(factor->feedback[i * kSize + k]);
      const double right = j == k ? 1.0 : static_cast<double>(factor->feedback[j * kSize + k]);
      sum += left * right * static_cast<double>(factor->importance[k]);
    }
    return sum;
  };
  const std::span<const float> sums = moments.sums();
  const double scale = element(0, 1) / static_cast<double>(sums[1]);
  double trace = 0.0;
  for (size_t i = 0; i < kSize; ++i) {
    trace += static_cast<double>(sums[i * kSize + i]);
  }
  const double damping = element(0, 0) / scale - static_cast<double>(sums[0]);
  EXPECT_NEAR(damping / (trace / kSize), 0.05, 1e-3);
  for (size_t i = 0; i < kSize; ++i) {
    for (size_t j = i; j < kSize; ++j) {
      const double expected = static_cast<double>(sums[i * kSize + j]) + (i == j ? damping : 0.0);
      EXPECT_NEAR(element(i, j) / scale / trace * kSize, expected / trace * kSize, 1e-3);
    }
  }
}

// What counts, on inputs that nothing was learned from.
TEST(ErrorFeedback, MakesTheLayersErrorSmaller) {
  const TempFolder folder;
  Random random(6);
  for (const size_t inputs : {64U, 75U}) {  // a ragged last block
    for (const size_t block_size : {16U, 32U}) {
      const auto learned = learn(correlated(random, 400, inputs), inputs, folder);
      const std::vector<float> others = correlated(random, 50, inputs);
      Case test(37, inputs, block_size);
      for (const bool symmetric : {true, false}) {
        const double searched = test.error(test.restored(nullptr, symmetric), others);
        for (const DType dtype : {DType::kF32, DType::kF16}) {
          const auto weights = test.restored(learned->load().get(), symmetric, dtype);
          EXPECT_LT(test.error(weights, others), searched * 0.5) << inputs << " " << block_size;
        }
      }
    }
  }
}

TEST(ErrorFeedback, DoesNotDependOnNeighbours) {
  const TempFolder folder;
  Random random(8);
  const auto factor = learn(correlated(random, 100, 48), 48, folder)->load();
  Case test(35, 48, 16);
  const std::vector<float> all = test.restored(factor.get(), false);
  for (size_t row = 0; row < 35; ++row) {
    Case alone = test;
    alone.values.assign(test.values.begin() + static_cast<ptrdiff_t>(row * 48),
                        test.values.begin() + static_cast<ptrdiff_t>(row * 48 + 48));
    alone.rows = {alone.values.data(), 1, 3, 16};
    const std::vector<float> found = alone.restored(factor.get(), false);
    EXPECT_TRUE(std::ranges::equal(found, std::span(all).subspan(row * 48, 48))) << row;
  }
}

TEST(ErrorFeedback, LearnsNothingFromNothing) {
  const TempFolder folder;
  EXPECT_EQ(learn(std::vector<float>(10 * 8), 8, folder), nullptr);
  std::vector<float> x(80, 1.0F);  // all alike: only damping makes this one regular
  const auto same = learn(x, 8, folder);
  ASSERT_NE(same, nullptr);
  EXPECT_TRUE(all_finite(same->load()->feedback));
  x[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(learn(x, 8, folder), nullptr);
  x[3] = 1e30F;  // squares beyond float32
  EXPECT_EQ(learn(x, 8, folder), nullptr);
}

}  // namespace
}  // namespace lorapress
