#include "engine/kernels/kernels.h"

#include <gtest/gtest.h>
#include <limits>

#include "engine/kernels/kernels_test_util.h"

namespace lorapress::kernels {
namespace {

using test::Aligned;
using test::Case;
using test::Extent;
using test::Numbers;
using test::Product;
using test::SourceWeight;

const KernelSet& scalar() {
  return *kernel_sets().sets[0];
}

std::vector<const KernelSet*> other_sets() {
  std::vector<const KernelSet*> sets;
  for (size_t i = 1; i < kernel_sets().count; ++i) {
    if (kernel_sets().sets[i]->runs_here()) {
      sets.push_back(kernel_sets().sets[i]);
    }
  }
  return sets;
}

// ---- scalar kernels against the definitions, in double precision --------------------------------

// Rows whose quantization is exact: integers of -127..127 with 127 in each block, times a power of 2.
std::vector<float> exact_rows(int64_t rows, int64_t inputs, Numbers& numbers) {
  std::vector<float> x(static_cast<size_t>(rows * inputs));
  for (int64_t i = 0; i < rows * inputs; ++i) {
    const int64_t value = i % inputs % 32 == 0 ? 127 : numbers.integer(-127, 127);
    x[static_cast<size_t>(i)] = static_cast<float>(value) / 64;
  }
  return x;
}

TEST(Kernels, ScalarProductsFollowTheFormats) {
  Numbers numbers(1);
  for (Case each : test::all_weights()) {
    SCOPED_TRACE(each.name);
    each.spec.inputs = 70;
    each.spec.outputs = 37;
    const SourceWeight weight = test::make_weight(each.spec, each.extent, numbers);
    for (size_t part = 0; part < 3; ++part) {
      ASSERT_EQ(part_bytes(each.spec, static_cast<WeightPart>(part)), weight.parts[part].size());
    }
    const int64_t rows = 6;
    const std::vector<float> x = exact_rows(rows, each.spec.inputs, numbers);
    const std::vector<float> y = test::multiply(scalar(), weight, x, rows, {}, 3);
    ASSERT_EQ(y.size(), static_cast<size_t>(rows * (each.spec.outputs + 3)));
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t n = 0; n < each.spec.outputs + 3; ++n) {
        const float found = y[static_cast<size_t>((row * (each.spec.outputs + 3)) + n)];
        if (n >= each.spec.outputs) {
          ASSERT_EQ(found, 7.0F);
          continue;
        }
        double sum = 0;
        double magnitude = 0;
        for (int64_t k = 0; k < each.spec.inputs; ++k) {
          const double term = weight.values[static_cast<size_t>((n * each.spec.inputs) + k)] *
                              x[static_cast<size_t>((row * each.spec.inputs) + k)];
          sum += term;
          magnitude += std::fabs(term);
        }
        ASSERT_NEAR(found, sum, 2e-6 * magnitude + 1e-30) << row << ", " << n;
      }
    }
  }
}

TEST(Kernels, GatherRestoresRows) {
  Numbers numbers(2);
  for (Case each : test::all_weights()) {
    SCOPED_TRACE(each.name);
    each.spec.inputs = 50;
    each.spec.outputs = 21;
    const SourceWeight weight = test::make_weight(each.spec, each.extent, numbers);
    Aligned packed(packed_bytes(each.spec));
    const PackedLinear table = test::pack(weight, scalar(), packed.data(), numbers);
    const std::vector<int64_t> ids = {20, 0, 7, 7};
    std::vector<float> y(ids.size() * 50);
    scalar().gather(table, ids.data(), 4, y.data(), 50);
    for (size_t i = 0; i < y.size(); ++i) {
      const double wanted = weight.values[(static_cast<size_t>(ids[i / 50]) * 50) + (i % 50)];
      ASSERT_EQ(y[i], static_cast<float>(wanted)) << i;
    }
  }
}

TEST(Kernels, QuantizationIsRoundedHalfToEven) {
  // 127 / m is 1, so that values are their own integers.
  const std::vector<float> x = {127.0F, 0.5F, 1.5F, -2.5F, -127.0F, 126.5F, 3.0F};
  const std::vector<double> wanted = {127, 0, 2, -2, -127, 126, 3};
  const LinearSpec spec{
      .kind = WeightKind::kChannels8, .inputs = 7, .outputs = 7, .signed_weights = true};
  SourceWeight identity{spec, {}, {}};
  for (int i = 0; i < 49; ++i) {
    test::append(identity.parts[0], static_cast<int8_t>(i % 8 == 0 ? 1 : 0));
  }
  for (int i = 0; i < 7; ++i) {
    test::append(identity.parts[1], 1.0F);
  }
  const std::vector<float> y = test::multiply(scalar(), identity, x, 1, {}, 1);
  for (size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(y[i], wanted[i]) << i;
  }
}

TEST(Kernels, FunctionsAreClose) {
  std::vector<float> x;
  for (int i = -4000; i <= 4000; ++i) {
    x.push_back(static_cast<float>(i) / 250);
  }
  std::vector<float> y(x.size());
  const auto check = [&](Activation activation, double (*wanted)(double), double tolerance) {
    scalar().activate(activation, x.data(), y.data(), static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < x.size(); ++i) {
      const double value = wanted(x[i]);
      ASSERT_NEAR(y[i], value, tolerance * std::max(1.0, std::fabs(value))) << x[i];
    }
  };
  check(
      Activation::kGeluErf,
      [](double v) { return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0))); },
      3e-7);
  check(
      Activation::kGeluTanh,
      [](double v) {
        return 0.5 * v *
               (1 + std::tanh(std::sqrt(2 / 3.14159265358979) * (v + (0.044715 * v * v * v))));
      },
      4e-7);
  check(Activation::kQuickGelu, [](double v) { return v / (1 + std::exp(-1.702 * v)); }, 3e-7);
  check(Activation::kSilu, [](double v) { return v / (1 + std::exp(-v)); }, 3e-7);
  check(Activation::kRelu, [](double v) { return std::max(v, 0.0); }, 0);
  check(Activation::kTanh, [](double v) { return std::tanh(v); }, 3e-7);
  check(Activation::kSigmoid, [](double v) { return 1 / (1 + std::exp(-v)); }, 3e-7);
}

TEST(Kernels, FunctionsKeepInfinitiesAndNaN) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float x[] = {kInfinity, -kInfinity, std::nanf(""), 100.0F, -100.0F};
  float y[5];
  scalar().activate(Activation::kSigmoid, x, y, 5);
  EXPECT_EQ(y[0], 1.0F);
  EXPECT_EQ(y[1], 0.0F);
  EXPECT_TRUE(std::isnan(y[2]));
  EXPECT_EQ(y[3], 1.0F);
  EXPECT_NEAR(y[4], 0.0F, 1e-37F);
  scalar().activate(Activation::kTanh, x, y, 5);
  EXPECT_EQ(y[0], 1.0F);
  EXPECT_EQ(y[1], -1.0F);
  EXPECT_TRUE(std::isnan(y[2]));
  scalar().activate(Activation::kGeluErf, x, y, 5);
  EXPECT_EQ(y[3], 100.0F);
  EXPECT_TRUE(std::isnan(y[2]));
  const float masked[] = {0.0F, -kInfinity, 0.0F};
  scalar().softmax(masked, y, 1, 3);
  EXPECT_EQ(y[0], 0.5F);
  EXPECT_EQ(y[1], 0.0F);
}

// ---- every set against scalar --------------------------------------------------------------------

constexpr Epilogue kEpilogues[] = {Epilogue::kNone,
                                   Epilogue::kAdd,
                                   Epilogue::kSiluGate,
                                   Epilogue::kMultiply,
                                   Epilogue::kGeluErf,
                                   Epilogue::kGeluTanh,
                                   Epilogue::kQuickGelu,
                                   Epilogue::kSilu,
                                   Epilogue::kRelu};

TEST(Kernels, ProductsOfEverySetAreEqual) {
  struct Size {
    int64_t rows;
    int64_t inputs;
    int64_t outputs;
  };
  const Size sizes[] = {{0, 64, 32},
                        {1, 64, 32},
                        {1, 100, 129},
                        {3, 33, 50},
                        {4, 96, 16},
                        {5, 1, 1},
                        {9, 576, 49},
                        {1, 576, 300},
                        {197, 96, 33}};
  uint32_t seed = 0;
  for (const KernelSet* set : other_sets()) {
    for (Case each : test::all_weights()) {
      for (const Size& size : sizes) {
        SCOPED_TRACE(std::string(set->name) + ": " + each.name + ", " + std::to_string(size.rows) +
                     " x " + std::to_string(size.inputs) + " x " + std::to_string(size.outputs));
        each.spec.inputs = size.inputs;
        each.spec.outputs = size.outputs;
        Numbers numbers(++seed);
        const SourceWeight weight = test::make_weight(each.spec, each.extent, numbers);
        std::vector<float> x = numbers.normals(size.rows * size.inputs);
        if (each.extent == Extent::kLargest) {  // all of one sign and of one size: the largest sums
          std::fill(x.begin(), x.end(), seed % 2 == 0 ? 1.0F : -1.0F);
        }
        const Product how{kEpilogues[seed % std::size(kEpilogues)], seed % 3 != 0, 1 + (seed % 3)};
        const std::vector<float> wanted = test::multiply(scalar(), weight, x, size.rows, how, seed);
        const std::vector<float> found = test::multiply(*set, weight, x, size.rows, how, seed);
        ASSERT_EQ(test::first_difference(found, wanted), -1);
      }
    }
  }
}

TEST(Kernels, RowsThatAreNotFiniteGiveNaN) {
  Numbers numbers(5);
  for (size_t i = 0; i < kernel_sets().count; ++i) {
    const KernelSet* set = kernel_sets().sets[i];
    if (!set->runs_here()) {
      continue;
    }
    for (Case each : test::all_weights()) {
      SCOPED_TRACE(std::string(set->name) + ": " + each.name);
      each.spec.inputs = 64;
      each.spec.outputs = 16;
      const SourceWeight weight = test::make_weight(each.spec, each.extent, numbers);
      std::vector<float> x = numbers.normals(5 * 64);
      x[10] = std::nanf("");
      x[64 + 40] = std::numeric_limits<float>::infinity();
      std::fill_n(x.begin() + 128, 64, 1e-38F);
      const std::vector<float> y = test::multiply(*set, weight, x, 5, {}, 1);
      for (size_t n = 0; n < 16; ++n) {
        ASSERT_FALSE(std::isfinite(y[n]));
        ASSERT_FALSE(std::isfinite(y[19 + n]));
        ASSERT_NEAR(y[38 + n], 0.0F, 1e-30F);
      }
    }
  }
}

TEST(Kernels, GatherOfEverySetIsEqual) {
  for (const KernelSet* set : other_sets()) {
    Numbers numbers(6);
    for (Case each : test::all_weights()) {
      SCOPED_TRACE(std::string(set->name) + ": " + each.name);
      each.spec.inputs = 77;
      each.spec.outputs = 40;
      const SourceWeight weight = test::make_weight(each.spec, each.extent, numbers);
      Aligned packed(packed_bytes(each.spec));
      const PackedLinear table = test::pack(weight, *set, packed.data(), numbers);
      const std::vector<int64_t> ids = {39, 0, 12, 17, 12};
      std::vector<float> wanted(ids.size() * 80, 7.0F);
      std::vector<float> found = wanted;
      scalar().gather(table, ids.data(), 5, wanted.data(), 80);
      set->gather(table, ids.data(), 5, found.data(), 80);
      ASSERT_EQ(test::first_difference(found, wanted), -1);
    }
  }
}

}  // namespace
}  // namespace lorapress::kernels
