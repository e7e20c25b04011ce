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

// One head, whose definition is short.
TEST(Kernels, ScalarAttentionFollowsItsDefinition) {
  constexpr int64_t kKeys = 9;
  constexpr int64_t kDim = 5;
  Numbers numbers(3);
  const std::vector<float> q = numbers.normals(2 * kDim);
  const std::vector<float> k = numbers.normals(kKeys * kDim);
  const std::vector<float> v = numbers.normals(kKeys * kDim);
  const std::vector<float> mask = numbers.normals(2 * kKeys);
  std::vector<float> out(2 * kDim);
  Aligned scratch(attention_scratch_bytes(kKeys, kDim));
  AttentionRun run;
  run.q = q.data();
  run.q_row = kDim;
  run.k = k.data();
  run.v = v.data();
  run.out = out.data();
  run.out_row = kDim;
  run.mask = mask.data();
  run.mask_row = kKeys;
  run.heads = run.kv_heads = run.last_head = 1;
  run.head_dim = kDim;
  run.queries = 2;
  run.keys = kKeys;
  run.causal = true;
  run.first_key = 2;
  run.scale = 0.5F;
  run.scratch = scratch.data();
  scalar().attention(run);
  for (size_t i = 0; i < 2; ++i) {
    std::vector<double> p;
    double sum = 0;
    for (size_t j = 2; j < 8 + i; ++j) {
      double score = 0;
      for (size_t d = 0; d < kDim; ++d) {
        score += double{q[(i * kDim) + d]} * k[(j * kDim) + d];
      }
      p.push_back(std::exp((score * 0.5) + mask[(i * kKeys) + j]));
      sum += p.back();
    }
    for (size_t d = 0; d < kDim; ++d) {
      double wanted = 0;
      for (size_t j = 2; j < 8 + i; ++j) {
        wanted += p[j - 2] / sum * v[(j * kDim) + d];
      }
      ASSERT_NEAR(out[(i * kDim) + d], wanted, 1e-6);
    }
  }
}

TEST(Kernels, ScalarNormsFollowTheirDefinitions) {
  Numbers numbers(4);
  const std::vector<float> x = numbers.normals(13);
  const std::vector<float> residual = numbers.normals(13);
  const std::vector<float> gamma = numbers.normals(13);
  const std::vector<float> beta = numbers.normals(13);
  std::vector<float> y(13);
  std::vector<float> sum(13);
  const NormRun run{
      x.data(), residual.data(), sum.data(), y.data(), gamma.data(), beta.data(), 1, 13, 1e-3F};
  double mean = 0;
  double squares = 0;
  for (size_t i = 0; i < 13; ++i) {
    mean += (double{x[i]} + residual[i]) / 13;
    squares += std::pow(double{x[i]} + residual[i], 2) / 13;
  }
  scalar().layer_norm(run);
  for (size_t i = 0; i < 13; ++i) {
    const double added = double{x[i]} + residual[i];
    ASSERT_EQ(sum[i], x[i] + residual[i]);
    ASSERT_NEAR(y[i],
                ((added - mean) / std::sqrt(squares - (mean * mean) + 1e-3) * gamma[i]) + beta[i],
                2e-6);
  }
  scalar().rms_norm(run);
  for (size_t i = 0; i < 13; ++i) {
    const double added = double{x[i]} + residual[i];
    ASSERT_NEAR(y[i], (added / std::sqrt(squares + 1e-3) * gamma[i]) + beta[i], 2e-6);
  }
}

TEST(Kernels, ScalarRotationTurnsPairs) {
  const float cos[] = {0.0F, 0.6F};
  const float sin[] = {1.0F, 0.8F};
  std::vector<float> x = {1, 2, 3, 4, 9};
  RotaryRun run;
  run.x = x.data();
  run.cos = cos;
  run.sin = sin;
  run.rows = run.heads = 1;
  run.half = 2;
  scalar().rotate(run);
  const std::vector<float> halves = {
      -3.0F, (2 * 0.6F) - (4 * 0.8F), 1.0F, (4 * 0.6F) + (2 * 0.8F), 9};
  EXPECT_EQ(x, halves);
  x = {1, 2, 3, 4, 9};
  run.interleaved = true;
  scalar().rotate(run);
  const std::vector<float> pairs = {
      -2.0F, 1.0F, (3 * 0.6F) - (4 * 0.8F), (4 * 0.6F) + (3 * 0.8F), 9};
  EXPECT_EQ(x, pairs);
}

TEST(Kernels, ArgmaxTakesTheFirstOfEqualNumbers) {
  for (size_t i = 0; i < kernel_sets().count; ++i) {
    const KernelSet* set = kernel_sets().sets[i];
    if (set->runs_here()) {
      std::vector<float> x(37, -1.0F);
      EXPECT_EQ(set->argmax(x.data(), 37), 0);
      x[36] = 2.0F;
      EXPECT_EQ(set->argmax(x.data(), 37), 36);
      x[20] = x[11] = 2.0F;
      EXPECT_EQ(set->argmax(x.data(), 37), 11);
      x[3] = std::nanf("");
      EXPECT_EQ(set->argmax(x.data(), 37), 11);
      std::fill(x.begin(), x.end(), std::nanf(""));
      EXPECT_EQ(set->argmax(x.data(), 37), 0);
    }
  }
}

TEST(Kernels, WeightsThatCannotBePackedAreRefused) {
  EXPECT_TRUE(can_pack({.kind = WeightKind::kBlocks4, .inputs = 5, .outputs = 3}));
  EXPECT_FALSE(
      can_pack({.kind = WeightKind::kBlocks4, .inputs = 5, .outputs = 3, .block_size = 48}));
  EXPECT_FALSE(
      can_pack({.kind = WeightKind::kBlocks4, .inputs = 5, .outputs = 3, .block_size = 8}));
  EXPECT_FALSE(can_pack({.kind = WeightKind::kFloat32, .inputs = 0, .outputs = 3}));
  EXPECT_FALSE(can_pack({.kind = WeightKind::kFloat32, .inputs = 3, .outputs = -1}));
  EXPECT_FALSE(
      can_pack({.kind = WeightKind::kChannels8, .inputs = kMostInputs8 + 1, .outputs = 3}));
  EXPECT_FALSE(can_pack(
      {.kind = WeightKind::kFloat32, .inputs = int64_t{1} << 31, .outputs = int64_t{1} << 31}));
}

}  // namespace
}  // namespace lorapress::kernels
