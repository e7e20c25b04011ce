#include "schemes/float16_constants.h"

#include <cmath>
#include <limits>

#include "float16_util.h"
#include "schemes/q4.h"

namespace lorapress {
namespace {

using test::contains;
using test::count_nodes;
using test::halved;
using test::largest_gap;
using test::number;
using test::numbers;
using test::parsed_model;
using test::Random;
using test::random_weight;
using test::run_model;
using test::Weights;

constexpr float kLowest = std::numeric_limits<float>::lowest();

// Rows of which one is 0, so that only a guard keeps the result finite.
OrtTensor rows_with_zeros() {
  std::vector<float> values = Random(9).numbers(4 * 64);
  std::fill_n(values.begin() + 64, 64, 0.0F);
  return OrtTensor::floats({4, 64}, values);
}

void expect_close(const Model& model, const Model& half, float tolerance) {
  const OrtTensor x = rows_with_zeros();
  const auto wanted = run_model(model, {{"x", &x}});
  const auto got = run_model(half, {{"x", &x}});
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_LE(largest_gap(got[i], wanted[i]), tolerance) << i;
  }
}

const std::string kNormalize =
    "g (float[b,64] x) => (float[b,64] y) {"
    "  h = MatMul(x, w)"
    "  a = Abs(h)"
    "  m = ReduceMax <axes = [-1]> (a)"
    "  d = Add(m, eps)"
    "  y = Div(h, d)"
    "}";

TEST(Float16Constants, KeepAnEpsThatFloat16HasNoNumberFor) {
  for (const float eps : {1e-8F, 1e-12F, 1e-30F}) {
    const Model model =
        parsed_model(kNormalize, {{"w", random_weight({64, 64}, 1)}, {"eps", number(eps)}});
    const Model half = halved(model).model;
    EXPECT_EQ(half.weights.at("eps")->dtype(), DType::kF32);
    EXPECT_EQ(half.weights.at("w")->dtype(), DType::kF16);
    expect_close(model, half, 3e-3F);
    const OrtTensor x = rows_with_zeros();
    const auto blocks = run_model(halved(model, {}, apply_q4f16).model, {{"x", &x}});
    for (const float value : blocks[0]) {
      EXPECT_TRUE(std::isfinite(value));
    }
  }
  // One that float16 has a number for goes the usual way.
  const Model usual =
      parsed_model(kNormalize, {{"w", random_weight({64, 64}, 1)}, {"eps", number(1e-5F)}});
  EXPECT_EQ(halved(usual).model.weights.at("eps")->dtype(), DType::kF16);
}

TEST(Float16Constants, GuardLogarithmsAndMaxima) {
  const Model model = parsed_model(
      "g (float[b,64] x) => (float[b,64] y, float[b,64] z, float[b,64] u) {"
      "  h = MatMul(x, w)"
      "  r = Relu(h)"
      "  c = Clip(r, least)"
      "  y = Log(c)"
      "  s = Shape(r)"
      "  f = ConstantOfShape <value = float[1] {1e-9}> (s)"
      "  p = Add(r, f)"
      "  z = Log(p)"
      "  e = Expand(least, s)"
      "  m = Max(r, e)"
      "  u = Div(r, m)"
      "}",
      {{"w", random_weight({64, 64}, 1)}, {"least", number(1e-8F)}});
  expect_close(model, halved(model).model, 2e-2F);  // of logarithms down to -20
}

// Clip had its bounds as attributes until opset 11.
TEST(Float16Constants, FindTheBoundsOfAnOldClip) {
  const Model model = parsed_model(
      "g (float[b,64] x) => (float[b,64] y) {"
      "  h = MatMul(x, w)"
      "  r = Relu(h)"
      "  c = Clip <min = 1e-9, max = 6.0> (r)"
      "  y = Log(c)"
      "}",
      {{"w", random_weight({64, 64}, 1)}},
      9);
  expect_close(model, halved(model).model, 2e-2F);
}

// As onnxruntime's converter does, but for products, where the nearest number is best.
TEST(Float16Constants, RaiseSmallNumbersThatAreNoFactorsOfSums) {
  std::vector<float> mixed(64, 1.0F);
  mixed[0] = 1e-12F;
  mixed[1] = -2e-8F;
  mixed[2] = 0.0F;
  mixed[3] = std::numeric_limits<float>::denorm_min();
  std::vector<float> matrix = Random(1).numbers(64 * 64);
  matrix[5] = 1e-9F;
  const Model model = parsed_model(
      "g (float[b,64] x) => (float[b,64] y) {"
      "  h = MatMul(x, w)"
      "  a = Abs(h)"
      "  d = Add(a, mixed)"
      "  y = Div(h, d)"
      "}",
      {{"w", float_constant({64, 64}, matrix)}, {"mixed", numbers(mixed)}});
  const Model half = halved(model).model;
  const std::vector<float> stored = read_all_float32(*half.weights.at("mixed"));
  EXPECT_EQ(half.weights.at("mixed")->dtype(), DType::kF16);
  EXPECT_EQ(stored[0], kSmallestHalf);
  EXPECT_EQ(stored[1], -kSmallestHalf);
  EXPECT_EQ(stored[2], 0.0F);
  EXPECT_EQ(stored[3], kSmallestHalf);
  EXPECT_EQ(read_all_float32(*half.weights.at("w"))[5], 0.0F);
  const OrtTensor x = rows_with_zeros();
  const auto got = run_model(half, {{"x", &x}})[0];
  EXPECT_EQ(got[64], 0.0F);  // and no 0 / 0
}

TEST(Float16Constants, LeaveVariancesThatWouldBeOthers) {
  const std::string text =
      "g (float[b,64] x) => (float[b,64] y) {"
      "  h = MatMul(x, w)"
      "  y = BatchNormalization <epsilon = 1e-8> (h, s, s, m, v)"
      "}";
  Weights weights{{"w", random_weight({64, 64}, 1, 1e-4F)},
                  {"s", random_weight({64}, 2)},
                  {"m", random_weight({64}, 3, 1e-4F)},
                  {"v", numbers(std::vector<float>(64, 3e-8F))}};
  const Model model = parsed_model(text, weights);
  const auto half = halved(model);
  ASSERT_EQ(half.notes.size(), 1U);
  EXPECT_TRUE(contains(half.notes[0], "BatchNormalization stays float32")) << half.notes[0];
  EXPECT_EQ(half.model.weights.at("v")->dtype(), DType::kF32);
  expect_close(model, half.model, 1e-2F);
  weights["v"] = numbers(std::vector<float>(64, 0.5F));
  EXPECT_EQ(halved(parsed_model(text, weights)).model.weights.at("v")->dtype(), DType::kF16);
}

// A mask that is fed holds the lowest float32, which would be -inf.
TEST(Float16Constants, CompareFillsEqual) {
  const Model model = parsed_model(
      "g (float[4,64] x, float[1,64] mask) => (float[4,64] y, float[4,64] z) {"
      "  h = MatMul(x, w)"
      "  part = Identity(mask)"
      "  f = Equal(part, lowest)"
      "  y = Where(f, zero, h)"
      "  k = Where(f, lowest, h)"
      "  z = Softmax <axis = -1> (k)"
      "}",
      {{"w", random_weight({64, 64}, 1)}, {"lowest", number(kLowest)}, {"zero", number(0)}});
  const auto half = halved(model);
  EXPECT_TRUE(half.notes.empty());
  std::vector<float> fills(64, 0.0F);
  fills[3] = kLowest;
  fills[60] = kLowest;
  const OrtTensor x = rows_with_zeros();
  const OrtTensor mask = OrtTensor::floats({1, 64}, fills);
  const std::vector<OrtSession::Feed> feeds{{"x", &x}, {"mask", &mask}};
  const auto wanted = run_model(model, feeds);
  const auto got = run_model(half.model, feeds);
  EXPECT_LE(largest_gap(got[0], wanted[0]), 1e-2F);
  EXPECT_EQ(got[0][3], 0.0F);
  EXPECT_LE(largest_gap(got[1], wanted[1]), 2e-3F);
}

// Where a whole row is masked the sums of fills decide: in float32 all scores vanish beside them.
TEST(Float16Constants, SumFillsInFloat32) {
  const Model model = parsed_model(
      "g (float[4,64] x, int64[1,4] kept) => (float[4,4] y) {"
      "  f = Cast <to = 1> (kept)"
      "  hidden = Sub(one, f)"
      "  padding = Mul(hidden, fill)"
      "  mask = Add(padding, causal)"
      "  s = MatMul(x, w)"
      "  t = Add(s, mask)"
      "  y = Softmax <axis = -1> (t)"
      "}",
      {{"w", random_weight({64, 4}, 1)},
       {"one", number(1)},
       {"fill", number(-1e9F)},
       {"causal",
        float_constant(
            {4, 4},
            std::vector<float>{
                0, -1e9F, -1e9F, -1e9F, 0, 0, -1e9F, -1e9F, 0, 0, 0, -1e9F, 0, 0, 0, 0})}});
  const Model half = halved(model).model;
  const OrtTensor x = rows_with_zeros();
  const OrtTensor kept = OrtTensor::integers({1, 4}, std::vector<int64_t>{0, 0, 1, 1});
  const std::vector<OrtSession::Feed> feeds{{"x", &x}, {"kept", &kept}};
  EXPECT_LE(largest_gap(run_model(half, feeds)[0], run_model(model, feeds)[0]), 2e-3F);
}

// Outputs stay float32, also those that are weights.
TEST(Float16Constants, GiveOutWeightsAsTheyWere) {
  const Model model =
      parsed_model("g (float[b,64] x) => (float[b,64] y, float[64,64] w) { y = MatMul(x, w) }",
                   {{"w", random_weight({64, 64}, 1)}});
  const Model half = halved(model).model;
  EXPECT_EQ(half.weights.at("w")->dtype(), DType::kF32);
  const OrtTensor x = rows_with_zeros();
  EXPECT_EQ(run_model(half, {{"x", &x}})[1], run_model(model, {{"x", &x}})[1]);
}

TEST(Float16Constants, TellWhatVanishes) {
  EXPECT_TRUE(vanishes_in_half(*number(1e-8F)));
  EXPECT_TRUE(vanishes_in_half(*numbers({-1e-9F, -1e-9F})));
  EXPECT_FALSE(vanishes_in_half(*numbers({1e-9F, 2e-9F})));
  EXPECT_FALSE(vanishes_in_half(*number(0.0F)));
  EXPECT_FALSE(vanishes_in_half(*number(kSmallestHalf)));
  EXPECT_FALSE(vanishes_in_half(*number(std::nanf(""))));
  EXPECT_FALSE(vanishes_in_half(*numbers({})));
}

}  // namespace
}  // namespace lorapress
