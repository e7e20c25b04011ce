#include "schemes/float16.h"

#include <cmath>
#include <limits>

#include "float16_util.h"

namespace lorapress {
namespace {

using test::contains;
using test::count_nodes;
using test::halved;
using test::largest_gap;
using test::message_of;
using test::number;
using test::numbers;
using test::parsed_model;
using test::Random;
using test::random_weight;
using test::run_model;
using test::Weights;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLowest = std::numeric_limits<float>::lowest();

// The float32 and the float16 outputs of a model with one input x [2, 64].
std::pair<std::vector<float>, std::vector<float>> both(const Model& model,
                                                       const Model& half,
                                                       float scale) {
  const OrtTensor x = OrtTensor::floats({2, 64}, Random(9).numbers(128, scale));
  return {run_model(model, {{"x", &x}})[0], run_model(half, {{"x", &x}})[0]};
}

void expect_close(const Model& model, const Model& half, float scale, float relative) {
  const auto [wanted, got] = both(model, half, scale);
  float most = 0.0F;
  for (const float value : wanted) {
    most = std::max(most, std::fabs(value));
  }
  EXPECT_LE(largest_gap(got, wanted), relative * most);
}

std::vector<std::string> inputs_of(const Model& model, const std::string& op) {
  for (const auto& node : model.proto.graph().node()) {
    if (node.op_type() == op) {
      return {node.input().begin(), node.input().end()};
    }
  }
  return {};
}

TEST(Float16Pass, KeepsThePortsButTheCache) {
  const Model model = parsed_model(
      "g (float[b,64] x, float[b,p,64] \"past_key_values.0.key\")"
      " => (float[b,64] y, float[b,q,64] \"present.0.key\", int64[3] s) {"
      "  y = MatMul(x, w)"
      "  n = Unsqueeze(y, one)"
      "  \"present.0.key\" = Concat <axis = 1> (\"past_key_values.0.key\", n)"
      "  s = Shape(\"past_key_values.0.key\")"
      "}",
      {{"w", random_weight({64, 64}, 1)},
       {"one", constant_weight(DType::kI64, {1}, {std::byte{1}, {}, {}, {}, {}, {}, {}, {}})}});
  const Model half = halved(model).model;
  const auto elem = [](const onnx::ValueInfoProto& info) {
    return info.type().tensor_type().elem_type();
  };
  const auto& graph = half.proto.graph();
  EXPECT_EQ(elem(graph.input(0)), onnx::TensorProto::FLOAT);
  EXPECT_EQ(elem(graph.input(1)), onnx::TensorProto::FLOAT16);
  EXPECT_EQ(elem(graph.output(0)), onnx::TensorProto::FLOAT);
  EXPECT_EQ(elem(graph.output(1)), onnx::TensorProto::FLOAT16);
  EXPECT_EQ(half.weights.at("w")->dtype(), DType::kF16);
  EXPECT_EQ(count_nodes(half, "Cast"), 2U);  // x in, y out
}

// x^2 passes 65504 from |x| = 256 on, and eps vanishes in float16.
TEST(Float16Pass, TakesTheStatisticsOfARootMeanSquareInFloat32) {
  const Model model = parsed_model(
      "g (float[b,64] x) => (float[b,64] y) {"
      "  h = MatMul(x, w)"
      "  s = Pow(h, two)"
      "  m = ReduceMean <axes = [-1]> (s)"
      "  a = Add(m, eps)"
      "  r = Sqrt(a)"
      "  d = Div(h, r)"
      "  y = Mul(d, g)"
      "}",
      {{"w", random_weight({64, 64}, 1)},
       {"two", number(2)},
       {"eps", number(1e-6F)},
       {"g", random_weight({64}, 2)}});
  const Model half = halved(model).model;
  EXPECT_EQ(half.weights.at("eps")->dtype(), DType::kF32);
  EXPECT_EQ(half.weights.at("g")->dtype(), DType::kF16);
  EXPECT_EQ(count_nodes(half, "Cast"), 4U);  // x in, h up, d down, y out
  for (const float scale : {1e-3F, 1.0F, 1000.0F}) {
    expect_close(model, half, scale, 2e-3F);
  }
}

TEST(Float16Pass, TakesTheStatisticsOfADecomposedLayerNormInFloat32) {
  const Model model = parsed_model(
      "g (float[b,64] x) => (float[b,64] y) {"
      "  h = MatMul(x, w)"
      "  m = ReduceMean <axes = [-1]> (h)"
      "  d = Sub(h, m)"
      "  s = Pow(d, two)"
      "  v = ReduceMean <axes = [-1]> (s)"
      "  a = Add(v, eps)"
      "  r = Sqrt(a)"
      "  q = Div(d, r)"
      "  t = Mul(q, g)"
      "  y = Add(t, c)"
      "}",
      {{"w", random_weight({64, 64}, 1)},
       {"two", number(2)},
       {"eps", number(1e-12F)},
       {"g", random_weight({64}, 2)},
       {"c", random_weight({64}, 3)}});
  const Model half = halved(model).model;
  for (const float scale : {1e-3F, 1.0F, 1000.0F}) {
    expect_close(model, half, scale, 3e-3F);
  }
}

// The fill of old exports: (1 - mask) * lowest. In plain float16 it would be 0 * -inf.
TEST(Float16Pass, ClampsTheFillsOfMasks) {
  for (const float fill : {kLowest, -kInfinity}) {
    const bool multiplied = fill == kLowest;
    const std::string inner = multiplied ? "k = Sub(one, f) h = Mul(k, fill)"
                                         : "z = Equal(m, none) h = Where(z, fill, zero)";
    const Model model = parsed_model(
        "g (float[b,64] x) => (float[b,64] y) {"
        "  m = Cast <to = 7> (x)"  // zeros: all masked, then the first column not
        "  f = Cast <to = 1> (m)" +
            inner +
            "  s = MatMul(x, w)"
            "  t = Add(s, h)"
            "  y = Softmax <axis = -1> (t)"
            "}",
        {{"w", random_weight({64, 64}, 1)},
         {"one", number(1)},
         {"zero", number(0)},
         {"none", constant_weight(DType::kI64, {}, std::vector<std::byte>(8))},
         {"fill", number(fill)}});
    const auto half = halved(model);
    EXPECT_TRUE(half.notes.empty());
    const auto [wanted, got] = both(model, half.model, 1.5F);  // casts to -1, 0 and 1
    EXPECT_LE(largest_gap(got, wanted), 2e-3F);
  }
}

// Angles are positions times frequencies: positions are exact up to 2^24, frequencies are small.
TEST(Float16Pass, KeepsRotaryAnglesInFloat32) {
  const Model model = parsed_model(
      "g (float[b,64] x, int64[64] positions) => (float[b,64] y) {"
      "  p = Cast <to = 1> (positions)"
      "  a = Mul(p, frequencies)"
      "  c = Cos(a)"
      "  h = MatMul(x, w)"
      "  y = Mul(h, c)"
      "}",
      {{"w", random_weight({64, 64}, 1)}, {"frequencies", random_weight({64}, 2)}});
  const Model half = halved(model).model;
  EXPECT_EQ(half.weights.at("frequencies")->dtype(), DType::kF32);
  std::vector<int64_t> late(64);
  for (size_t i = 0; i < late.size(); ++i) {
    late[i] = 4001 + 2 * static_cast<int64_t>(i);
  }
  const OrtTensor x = OrtTensor::floats({1, 64}, Random(1).numbers(64));
  const OrtTensor positions = OrtTensor::integers({64}, late);
  const std::vector<OrtSession::Feed> feeds{{"x", &x}, {"positions", &positions}};
  EXPECT_LE(largest_gap(run_model(half, feeds)[0], run_model(model, feeds)[0]), 1e-2F);
}

const std::string kTwoLayers =
    "g (float[b,64] x) => (float[b,64] y) {"
    "  h = MatMul(x, big)"
    "  y = MatMul(h, w)"
    "}";

TEST(Float16Pass, KeepsALayerBeyondTheRangeAndSaysSo) {
  std::vector<float> values = Random(1).numbers(64 * 64);
  values[100] = -70000.0F;
  const Model model = parsed_model(
      kTwoLayers, {{"big", float_constant({64, 64}, values)}, {"w", random_weight({64, 64}, 2)}});
  const auto half = halved(model);
  ASSERT_EQ(half.notes.size(), 1U);
  EXPECT_TRUE(contains(half.notes[0], "big: values up to 70000")) << half.notes[0];
  EXPECT_EQ(half.model.weights.at("big")->dtype(), DType::kF32);
  EXPECT_EQ(half.model.weights.at("w")->dtype(), DType::kF16);
  expect_close(model, half.model, 0.5F, 5e-3F);
  values[100] = 65504.0F;
  EXPECT_TRUE(halved(parsed_model(kTwoLayers,
                                  {{"big", float_constant({64, 64}, values)},
                                   {"w", random_weight({64, 64}, 2)}}))
                  .notes.empty());
}

TEST(Float16Pass, RefusesWeightsThatAreNotFinite) {
  for (const float bad : {kInfinity, -kInfinity, std::nanf("")}) {
    std::vector<float> values(64 * 64, 1.0F);
    values[64 * 3 + 7] = bad;
    Model model = parsed_model(
        kTwoLayers, {{"big", float_constant({64, 64}, values)}, {"w", random_weight({64, 64}, 2)}});
    const SchemeOptions options;
    const std::string text = message_of(ErrorCode::kInvalidFile,
                                        [&] { apply_fp16(model, {options, nullptr, nullptr, 1}); });
    EXPECT_TRUE(contains(text, "big: the value at [3, 7]")) << text;
  }
}

TEST(Float16Pass, LeavesWhatIsExcluded) {
  SchemeOptions options;
  options.exclude = {"big"};
  const Model model = parsed_model(
      kTwoLayers, {{"big", random_weight({64, 64}, 1)}, {"w", random_weight({64, 64}, 2)}});
  const Model half = halved(model, options).model;
  EXPECT_EQ(half.weights.at("big")->dtype(), DType::kF32);
  EXPECT_EQ(half.weights.at("w")->dtype(), DType::kF16);
}

// A constant that both kinds of nodes read is there in both types; a large one is stored once.
TEST(Float16Pass, GivesEachReaderItsType) {
  const Model model = parsed_model(
      "g (float[b,64] x) => (float[b,64] y, float[b,64] z) {"
      "  h = MatMul(x, w)"
      "  y = Mul(h, small)"
      "  s = Pow(h, small)"
      "  z = Max(h, large)"
      "  k = Add(h, large)"
      "  z2 = Identity(k)"
      "}",
      {{"w", random_weight({64, 64}, 1)},
       {"small", numbers(std::vector<float>(64, 2.0F))},
       {"large", random_weight({64, 64}, 2)}});
  const Model half = halved(model).model;
  EXPECT_EQ(half.weights.at("small")->dtype(), DType::kF32);
  EXPECT_EQ(half.weights.at("small/float16")->dtype(), DType::kF16);
  EXPECT_EQ(half.weights.at("large")->dtype(), DType::kF16);
  EXPECT_FALSE(half.weights.contains("large/float16"));
}

TEST(Float16Pass, LiftsConstants) {
  const Model model = parsed_model(
      "g (float[b,64] x) => (float[b,64] y) {"
      "  half = Constant <value = float {0.5}> ()"
      "  ones = Constant <value_floats = [1.0]> ()"
      "  third = Constant <value_float = 0.25> ()"
      "  h = MatMul(x, w)"
      "  p = Mul(h, half)"
      "  q = Add(p, ones)"
      "  y = Sub(q, third)"
      "}",
      {{"w", random_weight({64, 64}, 1)}});
  const Model half = halved(model).model;
  EXPECT_EQ(count_nodes(half, "Constant"), 0U);
  EXPECT_EQ(half.weights.at("ones")->dtype(), DType::kF16);
  expect_close(model, half, 1.0F, 3e-3F);
}

TEST(Float16Pass, HandsHalvesThroughBodies) {
  const Model model = parsed_model(
      "g (float[b,64] x) => (float[b,64] y, float[b,64] last) {"
      "  h = MatMul(x, w)"
      "  s = Pow(h, two)"
      "  t = Neg(s)"
      "  p = If (c) <"
      "    then_branch = a () => (float[b,64] u) { v = MatMul(h, w) u = Sqrt(s) },"
      "    else_branch = e () => (float[b,64] q) { q = Relu(h) }>"
      "  last = Loop (trips, c, p) <"
      "    body = body (int64 i, bool go, float[b,64] carried)"
      "      => (bool again, float[b,64] next) {"
      "        again = Identity(go)"
      "        m = MatMul(carried, w)"
      "        k = Exp(m)"
      "        next = Mul(k, small)"
      "      }>"
      "  y = Add(p, t)"
      "}",
      {{"w", random_weight({64, 64}, 1, 0.05F)},
       {"two", number(2)},
       {"small", number(0.5F)},
       {"c", constant_weight(DType::kBool, {}, {std::byte{1}})},
       {"trips", constant_weight(DType::kI64, {}, {std::byte{3}, {}, {}, {}, {}, {}, {}, {}})}});
  const Model half = halved(model).model;
  EXPECT_EQ(half.weights.at("w")->dtype(), DType::kF16);
  expect_close(model, half, 1.0F, 5e-3F);
  const OrtTensor x = OrtTensor::floats({2, 64}, Random(9).numbers(128));
  EXPECT_LE(largest_gap(run_model(half, {{"x", &x}})[1], run_model(model, {{"x", &x}})[1]), 5e-3F);
}

// Operators of other makers, and those without a float16 form, see what they always saw.
TEST(Float16Pass, KeepsOperatorsWithoutAFloat16Form) {
  const Model model = parsed_model(
      "g (float[b,64] x) => (float[b,64] y, float[n] r) {"
      "  h = MatMul(x, w)"
      "  y = CumSum(h, axis)"
      "  r = Range(zero, end, one)"
      "}",
      {{"w", random_weight({64, 64}, 1)},
       {"axis", constant_weight(DType::kI64, {}, {std::byte{1}, {}, {}, {}, {}, {}, {}, {}})},
       {"zero", number(0)},
       {"end", number(3)},
       {"one", number(1)}});
  const Model half = halved(model).model;
  expect_close(model, half, 1.0F, 3e-3F);
  EXPECT_EQ(inputs_of(half, "Range"), (std::vector<std::string>{"zero", "end", "one"}));
}

TEST(Float16Pass, LeavesQuantizedWeights) {
  const Model model = parsed_model(
      "g (float[b,64] x) => (float[b,32] y) {"
      "  h = Relu(x)"
      "  y = com.microsoft.MatMulNBits <K = 64, N = 32, bits = 4, block_size = 32> (h, q, scales)"
      "}",
      {{"q", constant_weight(DType::kU8, {32, 2, 16}, Random(1).bytes(1024))},
       {"scales", random_weight({64}, 2, 0.1F)}});
  const Model half = halved(model).model;
  EXPECT_EQ(half.weights.at("q")->dtype(), DType::kU8);
  EXPECT_EQ(half.weights.at("scales")->dtype(), DType::kF16);
  expect_close(model, half, 1.0F, 1e-2F);
}

}  // namespace
}  // namespace lorapress
